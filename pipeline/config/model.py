"""The blocks of params.yaml that say what a model is: its layers, its training, and Keras' objects by name."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from pipeline.config import keras_names

IMAGE_SIZE = 28  # pixels a side, as in MNIST
Fraction = Annotated[float, Field(ge=0, lt=1)]


def known(name: str, table: Mapping[str, Any] | tuple[str, ...], what: str) -> str:
    """Return `name` if `table` has it; else raise ValueError that lists what it has."""
    if name in table:
        return name
    close = get_close_matches(str(name), list(table), n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise ValueError(f"unknown {what} {name!r}{hint}; have: {', '.join(sorted(table, key=str.lower)) or 'none'}")


class Block(BaseModel):
    """A mapping of params.yaml: immutable, types are not coerced, an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values: Any) -> Any:
        for key in values if isinstance(values, dict) else ():
            known(key, tuple(cls.model_fields), "key")
        return values


class Named(BaseModel):
    """One of Keras' objects: its name and its own arguments."""

    model_config = ConfigDict(frozen=True)
    name: str
    arguments: dict[str, Any] = {}


def _named(table: Mapping[str, tuple[str, ...]], what: str) -> BeforeValidator:
    """Read `adam` or `{name: adam, beta_1: 0.8}`, however the name is capitalised, as Keras does."""
    spellings = {key.lower().replace("_", ""): key for key in table}

    def read(value: Any) -> Named:
        if isinstance(value, Named):
            return value
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, dict) or not isinstance(value.get("name"), str):
            raise ValueError(f"write a name or {{name: …, argument: value}}; names: {', '.join(table)}")
        arguments = {key: argument for key, argument in value.items() if key != "name"}
        name = spellings.get(value["name"].lower().replace("_", ""), value["name"])
        known(name, table, what)
        for key, argument in arguments.items():
            known(key, table[name], f"argument of {name}")
            if fault := keras_names.fault(key, argument):
                raise ValueError(f"{key} of {name} is {argument!r}; write {fault}")
        return Named(name=name, arguments=arguments)

    return BeforeValidator(read)


Optimizer = Annotated[Named, _named(keras_names.OPTIMIZERS, "optimizer")]
Loss = Annotated[Named, _named(keras_names.LOSSES, "loss")]
Activation = Annotated[Named, _named(keras_names.ACTIVATIONS, "activation")]
Initializer = Annotated[Named, _named(keras_names.INITIALIZERS, "initializer")]


class CosineDecay(Block):
    """From the optimizer's learning rate along half a cosine to `alpha` times it, after a linear warm-up."""

    name: Literal["cosine_decay"]
    warmup: Fraction = 0.0  # of all steps
    alpha: Fraction = 0.0


class ExponentialDecay(Block):
    """The optimizer's learning rate, multiplied by `decay_rate` after each epoch."""

    name: Literal["exponential_decay"]
    decay_rate: Annotated[float, Field(gt=0, le=1)]


Schedule = Annotated[CosineDecay | ExponentialDecay, Field(discriminator="name")]


class Augmentation(Block):
    """How far each training image is moved at random, anew in each epoch."""

    translation: NonNegativeInt = 0  # pixels, along both axes
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0  # degrees, to either side
    zoom: Fraction = 0.0  # of the size, in or out


class Layer(Block):
    activation: Activation | None = None  # the model's, where a layer names none
    kernel_initializer: Initializer | None = None  # likewise
    batch_normalization: bool = False
    dropout: Fraction = 0.0  # after the activation


class Dense(Layer):
    units: PositiveInt


class Convolution(Layer):
    filters: PositiveInt
    kernel_size: PositiveInt = 3
    strides: PositiveInt = 1
    padding: Literal["valid", "same"] = "valid"
    pool_size: PositiveInt = 1  # max-pooling after the convolution; 1 is none


class Training(Block):
    batch_size: PositiveInt
    epochs: PositiveInt


class PerceptronModel(Training):
    """Ten threshold units, each one digit against the rest, trained by Rosenblatt's rule."""

    family: Literal["perceptron"]
    learning_rate: PositiveFloat


class DenseModel(Training):
    """Fully connected layers and a softmax over the classes."""

    family: Literal["dense"]
    dense: Annotated[tuple[Dense, ...], Field(strict=False)] = ()
    activation: Activation = Named(name="relu")
    kernel_initializer: Initializer = Named(name="glorot_uniform")
    optimizer: Optimizer
    schedule: Schedule | None = None
    loss: Loss = Named(name="categorical_crossentropy")
    augmentation: Augmentation = Augmentation()


class CNNModel(DenseModel):
    """Convolutions, then fully connected layers and a softmax over the classes."""

    family: Literal["cnn"]
    convolutions: Annotated[tuple[Convolution, ...], Field(strict=False, min_length=1)]

    @model_validator(mode="after")
    def _maps_are_large_enough(self) -> "CNNModel":
        size = IMAGE_SIZE
        for index, layer in enumerate(self.convolutions):
            before = size
            size = size - layer.kernel_size + 1 if layer.padding == "valid" else size
            size = -(-size // layer.strides) // layer.pool_size
            if size < 1:
                raise ValueError(
                    f"convolutions.{index} leaves nothing of its {before}×{before} input: use a smaller "
                    "kernel_size, strides or pool_size, padding: same, or fewer convolutions"
                )
        return self


Model = Annotated[PerceptronModel | DenseModel | CNNModel, Field(discriminator="family")]
