"""The space that a sweep searches: points over dotted keys of a model's section, and the sections that they make."""

import itertools
import json
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from pipeline.cli import UserError
from pipeline.config import params as parameters
from pipeline.config.flatten import flatten
from pipeline.config.model import ModelConfig
from pipeline.config.params import Params
from pipeline.config.sweep import Dimension, Sweep

MAX_CORNERS = 1000  # combinations of extreme values that are checked before a search, which checks each point again
Point = dict[str, Any]
"""Dotted keys within the model's section, and their values."""


@dataclass(frozen=True)
class SearchDefinition:
    """A search as params.yaml defines it: the file's content, unchecked and checked, and its section `sweep`."""

    content: dict[str, Any]
    params: Params
    sweep: Sweep


def define_search(content: Any) -> SearchDefinition:
    """Return the search that the content of params.yaml defines; raise UserError if it is wrong or defines none."""
    params = parameters.check(content, "params.yaml")
    if params.sweep is None:
        raise UserError(
            "params.yaml has no `sweep`: write {model: …, trials: …, space: {key: {low: …, high: …}}} there"
        )
    return SearchDefinition(content, params, params.sweep)


def read_definition(path: Path) -> SearchDefinition:
    """Return the search that params.yaml at `path` defines; raise UserError if its space leads to invalid sections."""
    definition = define_search(parameters.read(path))
    require_valid_space(definition)
    return definition


def require_valid_space(definition: SearchDefinition) -> None:
    """Raise UserError if a key of the space, or a combination of extreme values, makes no valid section."""
    ends = {key: d.choices or (d.low, d.high) for key, d in definition.sweep.space.items()}
    alone = ({key: value} for key, values in ends.items() for value in values)  # first: they name one key as the fault
    together = (dict(zip(ends, corner, strict=True)) for corner in itertools.product(*ends.values()))
    for point in itertools.chain(alone, itertools.islice(together, MAX_CORNERS)):
        make_candidate(definition, point)


def make_candidate(definition: SearchDefinition, point: Point) -> ModelConfig:
    """Return the model's section with the point's values instead of its own, checked like params.yaml itself."""
    name, changed = definition.sweep.model, deepcopy(definition.content)
    for key, value in point.items():
        place, last = changed["models"][name], key.split(".")[-1]
        try:
            for part in key.split(".")[:-1]:
                place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
            place[int(last) if isinstance(place, list) else last] = value
        except (AttributeError, IndexError, TypeError, ValueError):
            raise UserError(
                f"params.yaml: sweep.space: models.{name} has no {key}: {place!r} has no such part. A list's parts are "
                "0, 1, …; to search a named object's arguments, write it as {name: …, argument: value}"
            ) from None
    return parameters.check(changed, f"params.yaml: sweep.space leads to {format_point(point)}").models[name]


def make_distribution(dimension: Dimension) -> IntDistribution | FloatDistribution | CategoricalDistribution:
    """Return the values that a sweep tries for one key as an Optuna distribution."""
    low, high, step = dimension.low, dimension.high, dimension.step
    if dimension.choices:
        return CategoricalDistribution(dimension.choices)
    if all(isinstance(number, int) for number in (low, high, step or 1)):
        return IntDistribution(low, high, log=dimension.log, step=step or 1)
    return FloatDistribution(low, high, log=dimension.log, step=step)


def name_study(definition: SearchDefinition, inputs_sha256: str) -> str:
    """Return the model's name and a hash of what the trials' results depend on; `inputs_sha256` is of data and code.

    The hash leaves out the number of trials and the values that the space overrides.
    """
    sweep = definition.sweep
    lowest = {key: d.choices[0] if d.choices else d.low for key, d in sweep.space.items()}
    section = make_candidate(definition, lowest).model_dump(mode="json")
    inputs = [section, sweep.model_dump(mode="json", exclude={"trials"}), definition.params.seed, inputs_sha256]
    digest = sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
    return f"{sweep.model} {digest[:12]}"


def format_command(definition: SearchDefinition, point: Point) -> str:
    """Return the `dvc exp run` that runs the pipeline with the point's values."""
    name, presets = definition.sweep.model, definition.params.presets
    there = flatten(definition.content["models"][name])
    # DVC sets a key that the section does not have yet only with ++; and it trains the models in `presets`.
    sets = {("" if key in there else "++") + f"models.{name}.{key}": value for key, value in point.items()}
    sets |= {} if name in presets else {"presets": f"[{','.join((*presets, name))}]"}
    words = {key: value if isinstance(value, str) else json.dumps(value) for key, value in sets.items()}
    return " ".join(["dvc exp run", *(f"-S '{key}={word}'" for key, word in words.items())])


def format_point(point: Point) -> str:
    """Return the point as a person reads it."""
    return ", ".join(f"{key}={value}" for key, value in point.items())
