"""The space that a sweep searches: points over dotted keys of a model's block, and the blocks that they make."""

import itertools
import json
from copy import deepcopy
from hashlib import sha256
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from pipeline.cli import UserError
from pipeline.config import params as parameters
from pipeline.config.flatten import flatten
from pipeline.config.params import Params
from pipeline.config.sweep import Dimension

CORNERS = 1000  # combinations of extreme values that are checked before a search; it checks each point again itself
Point = dict[str, Any]  # dotted keys within the model's block, and their values


def check(content: dict, params: Params) -> None:
    """Raise UserError if a key of the space, or a combination of extreme values, makes no valid block."""
    ends = {key: d.choices or (d.low, d.high) for key, d in params.sweep.space.items()}
    alone = ({key: value} for key, values in ends.items() for value in values)  # first: they name one key as the fault
    together = (dict(zip(ends, corner, strict=True)) for corner in itertools.product(*ends.values()))
    for point in itertools.chain(alone, itertools.islice(together, CORNERS)):
        candidate(content, params, point)


def candidate(content: dict, params: Params, point: Point):
    """The model's block with the point's values instead of its own, checked like params.yaml itself."""
    name, changed = params.sweep.model, deepcopy(content)
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
    return parameters.check(changed, f"params.yaml: sweep.space leads to {shown(point)}").models[name]


def distribution(d: Dimension) -> IntDistribution | FloatDistribution | CategoricalDistribution:
    """Optuna's word for what a sweep tries for one key."""
    if d.choices:
        return CategoricalDistribution(d.choices)
    if all(isinstance(number, int) for number in (d.low, d.high, d.step or 1)):
        return IntDistribution(d.low, d.high, log=d.log, step=d.step or 1)
    return FloatDistribution(d.low, d.high, log=d.log, step=d.step)


def study_name(content: dict, params: Params, data_sha256: str) -> str:
    """The model's name and a hash of what trials' results depend on: not of the values that the space overrides."""
    lowest = {key: d.choices[0] if d.choices else d.low for key, d in params.sweep.space.items()}
    block = candidate(content, params, lowest).model_dump(mode="json")
    definition = [block, params.sweep.model_dump(mode="json", exclude={"trials"}), params.seed, data_sha256]
    digest = sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
    return f"{params.sweep.model} {digest[:12]}"


def command(point: Point, content: dict, params: Params) -> str:
    """The `dvc exp run` that runs the pipeline with the point's values, as params.yaml's `content` needs it."""
    name, presets = params.sweep.model, params.presets
    there = flatten(content["models"][name])
    # DVC sets a key that the section does not have yet only with ++; and it trains the models in `presets`.
    sets = {("" if key in there else "++") + f"models.{name}.{key}": value for key, value in point.items()}
    sets |= {} if name in presets else {"presets": f"[{','.join((*presets, name))}]"}
    words = {key: value if isinstance(value, str) else json.dumps(value) for key, value in sets.items()}
    return " ".join(["dvc exp run", *(f"-S '{key}={word}'" for key, word in words.items())])


def shown(point: Point) -> str:
    """The point as a person reads it."""
    return ", ".join(f"{key}={value}" for key, value in point.items())
