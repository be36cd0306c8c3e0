"""params.yaml as one typed, frozen object: every stage reads and checks it before it imports anything heavy."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from pipeline.cli import UserError
from pipeline.config.catalogue import CATALOGUE, WRITERS, find_dataset
from pipeline.config.credits import Credit
from pipeline.config.dataset import Dataset, DatasetName
from pipeline.config.errors import explain
from pipeline.config.model import Model, ModelConfig
from pipeline.config.promotion import Promotion
from pipeline.config.section import Section, require_known, spelled
from pipeline.config.sweep import Sweep
from pipeline.paths import PARAMS

END_OF_SEEDS = 2**32
# What to do about the parser's most frequent complaints about a line.
ADVICE = {
    "could not find expected ':'": "; write key: value, with a space after the colon",
    "found character '\\t' that cannot start any token": "; indent with spaces instead of tabs",
}
ModelName = Annotated[str, spelled(r"[A-Za-z0-9_-]+", "a name of letters, digits, - and _")]


class Params(Section):
    """All of params.yaml."""

    renamed_keys: ClassVar[dict[str, str]] = {
        "compare": "presets",
        "repeats": "seeds_per_model",
        "validation": "validation_images",
    }

    dataset: str
    """The data set's name: mnist, fashion-mnist, kmnist, digits, or one of `datasets`."""
    datasets: dict[DatasetName, Dataset] = Field(default={})
    """Your own data sets: one section per data set, by name ([own-pictures.md](own-pictures.md))."""
    credits: dict[DatasetName, Credit] = Field(default={})
    """Authors and licences of your own data sets: one section per data set, by name. Those of the built-in data sets
    are known."""
    seed: Annotated[NonNegativeInt, Field(lt=END_OF_SEEDS)]
    """The one seed for the split, the initial weights, the order of the images, augmentation and dropout."""
    seeds_per_model: PositiveInt
    """How many seeds each model is trained with: `seed`, `seed` + 1, … The first gives the published model."""
    threads: PositiveInt
    """How many threads TensorFlow uses for one operation. It splits sums among them, so another number rounds
    differently."""
    validation_images: PositiveInt
    """How many images are taken from the training set to choose between models; at most a sixth of a small data set."""
    writers: bool = False
    """Whether to download QMNIST's tables, which say who wrote each image of mnist. If true, no writer is in both train
    and val, and `make report` also shows confidence intervals by writer. Only for mnist."""
    presets: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    """The models that the pipeline trains, evaluates and registers: names from `models`."""
    promotion: Promotion
    """What a version must achieve to become the champion."""
    models: dict[ModelName, Model]
    """The models that can be trained: one section per model, by name."""
    sweep: Sweep | None = None
    """What `make sweep` searches."""

    @model_validator(mode="after")
    def _require_known_dataset(self) -> Self:
        if taken := sorted(self.datasets.keys() & CATALOGUE.keys()):
            raise ValueError(f"datasets.{taken[0]}: a built-in data set has this name; choose another name")
        try:
            require_known(self.dataset, [*CATALOGUE, *self.datasets], "data set")
        except ValueError as error:
            raise ValueError(f"dataset: {error}") from None
        for name in self.credits:
            try:
                require_known(name, [*CATALOGUE, *self.datasets], "data set")
            except ValueError as error:
                raise ValueError(f"credits: {error}") from None
        return self

    @model_validator(mode="after")
    def _require_known_writers(self) -> Self:
        if self.writers and self.dataset not in WRITERS:
            raise ValueError(
                f"writers: the writers of {self.dataset} aren't known, only those of {', '.join(WRITERS)}: write "
                "false; for your own pictures, group_column or group_separator says which belong together"
            )
        return self

    @model_validator(mode="after")
    def _require_known_presets(self) -> Self:
        try:
            for name in self.presets:
                require_known(name, self.models, "model")
        except ValueError as error:
            raise ValueError(f"presets: {error}") from None
        if len(set(self.presets)) < len(self.presets):
            raise ValueError("presets: a model is named twice; name each once")
        return self

    @model_validator(mode="after")
    def _require_a_seed_for_each_training(self) -> Self:
        if self.seed + self.seeds_per_model > END_OF_SEEDS:
            most = END_OF_SEEDS - self.seed
            raise ValueError(
                f"seeds_per_model: the largest seed is 2^32 - 1; with seed {self.seed}, write at most {most}"
            )
        return self

    @model_validator(mode="after")
    def _require_known_swept_model(self) -> Self:
        try:
            if self.sweep:
                require_known(self.sweep.model, self.models, "model")
            return self
        except ValueError as error:
            raise ValueError(f"sweep.model: {error}") from None

    @property
    def data(self) -> Dataset:
        """The section of the chosen data set."""
        return find_dataset(self.dataset, self.datasets)

    @property
    def has_groups(self) -> bool:
        """Whether it is known which images belong to one group, so that a split keeps each group together."""
        return self.writers or self.data.has_groups

    @model_validator(mode="after")
    def _require_fitting_models(self) -> Self:
        used = [*self.presets, *([self.sweep.model] if self.sweep else [])]
        for name in dict.fromkeys(used):
            self._require_fitting(name)
        return self

    def _require_fitting(self, name: str) -> None:
        try:
            self.models[name].require_fitting(self.data.image_shape)
        except ValueError as error:
            size = f"{self.data.height}×{self.data.width}"
            raise ValueError(f"models.{name}: {error}; {self.dataset} has images of {size} pixels") from None

    def model(self, name: str) -> ModelConfig:
        """Return the section `models.<name>`; raise UserError if there is none, or if it can't take the images.

        If there is no such section, the message lists the known names.
        """
        try:
            require_known(name, self.models, "model")
            self._require_fitting(name)
        except ValueError as error:
            raise UserError(error) from None
        return self.models[name]


def load(path: Path = PARAMS) -> Params:
    """Read and check the parameters; raise one UserError that names every fault."""
    return check(read(path), path)


def read(path: Path = PARAMS) -> Any:
    """Return the file's content, unchecked; raise UserError if the file is missing or not YAML."""
    try:
        # DVC reads YAML 1.2 with the same library: 1e-3 is a number, and a key given twice is an error.
        return YAML(typ="safe").load(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run this from the project's root") from None
    except MarkedYAMLError as error:
        # A key without a colon is noticed only at the next key; the context is where it stands.
        is_key = error.context == "while scanning a simple key"
        mark = error.context_mark if is_key else error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(f"{path}{where}: {error.problem}{ADVICE.get(error.problem or '', '')}") from None
    except YAMLError as error:
        raise UserError(f"{path} is not text in YAML: {error}") from None


def find(content: Any, key: str) -> Any:
    """Return the value at a dotted key of the file's content; None if there is no value."""
    for part in key.split("."):
        content = content.get(part) if isinstance(content, dict) else None
    return content


def check(content: Any, source: Path | str) -> Params:
    """Return the parameters in `content`; raise one UserError that names `source` and every fault."""
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise UserError("\n".join(f"{source}: {line}" for line in explain(error))) from None
