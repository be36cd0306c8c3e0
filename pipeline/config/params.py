"""params.yaml as one typed, frozen object: read and checked by every stage before anything heavy is imported.

`python -m pipeline.config.params` checks the file and prints nothing when it is right.
"""

import math
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from pipeline.cli import Problem, run
from pipeline.config.model import Block, CNNModel, DenseModel, Fraction, Model, PerceptronModel, known


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
