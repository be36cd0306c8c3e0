"""params.yaml as one typed, frozen object: read and checked by every stage before anything heavy is imported.

`python -m pipeline.params` checks the file and prints nothing when it is right.
"""

import math
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from pipeline import keras_names
from pipeline.stage import Problem, run

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


class Dimension(Block):
    """What a sweep tries for one key: a number from `low` to `high`, whole if both are, or one of `choices`."""

    low: Any = None
    high: Any = None
    log: bool = False  # as likely between 0.001 and 0.01 as between 0.01 and 0.1
    step: Any = None
    choices: Annotated[tuple[Any, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _is_a_range_or_a_list(self) -> "Dimension":
        if self.choices:
            if {self.low, self.high, self.step, self.log} != {None, False}:
                raise ValueError("write either choices, or low and high")
            if not all(choice is None or isinstance(choice, bool | int | float | str) for choice in self.choices):
                raise ValueError("choices are names, numbers, true, false or null; search a mapping key by key")
            if len(set(map(repr, self.choices))) < max(2, len(self.choices)):
                raise ValueError("choices should be at least two, each named once")
            return self
        for key in ("low", "high") if self.step is None else ("low", "high", "step"):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"{key} is {value!r}; write {{low: number, high: number}} or {{choices: [a, b, …]}}")
        if self.low >= self.high:
            raise ValueError(f"low should be below high, not {self.low!r} and {self.high!r}")
        if self.log and (self.low <= 0 or self.step):
            raise ValueError("log: true needs a low above 0, and no step")
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise ValueError(f"step should be above 0 and at most high − low, not {self.step!r}")
        return self


DottedKey = Annotated[str, Field(pattern=r"^\w+(\.\w+)*$")]  # as `dvc exp run -S` reads it


class Sweep(Block):
    """What `make sweep` searches: `trials` points of a space over dotted keys of models.<model>."""

    model: str
    trials: PositiveInt  # finished ones, over all starts of the same search
    space: Annotated[dict[DottedKey, Dimension], Field(min_length=1)]


ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


class Promotion(Block):
    """What a version must keep, on validation images, to become the champion."""

    margin: Fraction = 0.0  # of accuracy, that it must be ahead
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05  # level of the test that it is worse at no digit
    max_size: PositiveInt | None = None  # bytes of model.onnx
    max_latency: PositiveFloat | None = None  # milliseconds for one image, median, on the machine that registers


class Params(Block):
    dataset: str  # a name in the catalogue; download checks it
    seed: Annotated[NonNegativeInt, Field(lt=2**32)]
    repeats: PositiveInt  # seeds a model
    validation: PositiveInt  # images
    compare: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    promotion: Promotion
    models: dict[ModelName, Model]
    sweep: Sweep | None = None

    @model_validator(mode="after")
    def _compared_models_exist(self) -> "Params":
        try:
            for name in self.compare:
                known(name, self.models, "model")
        except ValueError as error:
            raise ValueError(f"compare: {error}") from None
        if len(set(self.compare)) < len(self.compare):
            raise ValueError("compare: a model is named twice; name each once")
        return self

    @model_validator(mode="after")
    def _seeds_are_in_range(self) -> "Params":
        if self.seed + self.repeats > 2**32:
            raise ValueError(f"repeats: seeds end at 2^32 - 1; from {self.seed}, at most {2**32 - self.seed} fit")
        return self

    @model_validator(mode="after")
    def _swept_model_exists(self) -> "Params":
        try:
            if self.sweep:
                known(self.sweep.model, self.models, "model")
            return self
        except ValueError as error:
            raise ValueError(f"sweep.model: {error}") from None

    def model(self, name: str) -> PerceptronModel | DenseModel | CNNModel:
        """The block `models.<name>`; an unknown name is a Problem that lists the known ones."""
        try:
            return self.models[known(name, self.models, "model")]
        except ValueError as error:
            raise Problem(error) from None


def load(path: Path = Path("params.yaml")) -> Params:
    """Read and check the parameters; every fault found is named in one Problem."""
    return check(read(path), path)


def read(path: Path = Path("params.yaml")) -> Any:
    """What the file says, unchecked; Problem if it is missing or not YAML."""
    try:
        # DVC reads YAML 1.2 by the same library: 1e-3 is a number, and a key given twice is an error.
        return YAML(typ="safe").load(path)
    except FileNotFoundError:
        raise Problem(f"{path} is missing: run this from the project's root") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Problem(f"{path}{where}: {error.problem}") from None
    except YAMLError as error:
        raise Problem(f"{path} is not text in YAML: {error}") from None


def check(content: Any, source: Path | str) -> Params:
    """The parameters that `content` says; a Problem names `source` and every fault."""
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise Problem("\n".join(f"{source}: {line}" for line in _explain(error))) from None


def _explain(error: ValidationError) -> list[str]:
    """One line a fault: the key as it is written in params.yaml, and what is allowed there."""
    lines = []
    for fault in error.errors(include_url=False):
        place = list(fault["loc"])
        if len(place) > 2 and place[0] == "models":
            del place[2]  # pydantic puts the family after the model's name …
        if "schedule" in place[:-1]:
            del place[place.index("schedule") + 1]  # … and the schedule's name after schedule
        place = [part for part in place if part != "[key]"]
        message = fault["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list")
        context = fault.get("ctx", {})
        if fault["type"] == "missing":
            message = "this key is missing"
        elif fault["type"].startswith("union_tag"):
            key = context["discriminator"].strip("'")
            given = f"unknown {key} {context['tag']!r}" if "tag" in context else f"the key {key} is missing"
            have = {"family": "perceptron, dense, cnn", "name": "cosine_decay, exponential_decay"}[key]
            message = f"{given}; have: {have}"
        elif fault["type"] != "value_error" and not isinstance(fault["input"], dict | list):
            message += f", not {fault['input']!r}"
        lines.append(": ".join([".".join(map(str, place)), message] if place else [message]))
    return lines


if __name__ == "__main__":
    run(load)
