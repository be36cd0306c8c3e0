"""Keras' objects in params.yaml: `adam`, or `{name: adam, beta_1: 0.8}`."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from pipeline.config import keras_names
from pipeline.config.section import require_known


class KerasObject(BaseModel):
    """A Keras object: its name and its own arguments."""

    model_config = ConfigDict(frozen=True)
    name: str
    arguments: dict[str, Any] = {}


def _keras_object(table: Mapping[str, tuple[str, ...]], what: str) -> BeforeValidator:
    """Return a validator that reads `adam` or `{name: adam, beta_1: 0.8}`; like Keras, it ignores case."""
    spellings = {key.lower().replace("_", ""): key for key in table}

    def read(value: Any) -> KerasObject:
        if isinstance(value, KerasObject):
            return value
        if isinstance(value, str):
            value = {"name": value}
        given = value.get("name") if isinstance(value, dict) else None
        if not isinstance(given, str):
            raise ValueError(f"write a name or {{name: …, argument: value}}; names: {', '.join(table)}")
        arguments = {key: argument for key, argument in value.items() if key != "name"}
        name = spellings.get(given.lower().replace("_", ""), given)
        require_known(name, table, what)
        for key, argument in arguments.items():
            require_known(key, table[name], f"argument of {name}")
            if fault := keras_names.find_fault(key, argument):
                raise ValueError(f"{key} of {name} is {argument!r}; write {fault}")
        return KerasObject(name=name, arguments=arguments)

    return BeforeValidator(read)


Optimizer = Annotated[KerasObject, _keras_object(keras_names.OPTIMIZERS, "optimizer")]
Loss = Annotated[KerasObject, _keras_object(keras_names.LOSSES, "loss")]
Activation = Annotated[KerasObject, _keras_object(keras_names.ACTIVATIONS, "activation")]
Initializer = Annotated[KerasObject, _keras_object(keras_names.INITIALIZERS, "initializer")]
