"""The section `sweep` of params.yaml: what `make sweep` searches."""

import math
from typing import Annotated, Any, Self

from pydantic import Field, PositiveInt, model_validator

from pipeline.config.section import Section, spelled


class Dimension(Section):
    """What a sweep tries for one key: one of `choices`, or a number from `low` to `high`.

    If both limits are whole numbers, only whole numbers are tried.
    """

    low: Any = None
    """Smallest number."""
    high: Any = None
    """Largest number."""
    log: bool = False
    """Draw on a logarithmic scale: a number is as likely between 0.001 and 0.01 as between 0.01 and 0.1."""
    step: Any = None
    """Distance between neighbouring numbers of a grid; null means no grid."""
    choices: Annotated[tuple[Any, ...], Field(strict=False)] = ()
    """Names, numbers, true, false or null to choose from, instead of a range."""

    @model_validator(mode="after")
    def _require_a_range_or_a_list(self) -> Self:
        if self.choices:
            if self.log or any(value is not None for value in (self.low, self.high, self.step)):
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


DottedKey = Annotated[
    str, spelled(r"\w+(\.\w+)*", "a key below the model's section, such as optimizer.learning_rate")
]  # as `dvc exp run -S` reads it


class Sweep(Section):
    """What `make sweep` tries: `trials` points of a search space over dotted keys of models.<model>."""

    model: str
    """The model whose keys are searched."""
    trials: PositiveInt
    """How many trials to finish, counted over all starts of the same search."""
    space: Annotated[dict[DottedKey, Dimension], Field(min_length=1)]
    """The dotted keys of models.<model>, and what to try for each."""
