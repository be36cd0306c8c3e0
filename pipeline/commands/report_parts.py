"""For `make report`: accuracy by part of the test images, with intervals, and how many comparisons were made."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.commands.champion import read_registered_name
from pipeline.commands.compare import EMPTY, Comparison, Row
from pipeline.config.params import load
from pipeline.data.arrays import IntArray
from pipeline.data.groups import load_groups
from pipeline.data.pixels import as_raw
from pipeline.data.prepared import Split
from pipeline.evaluation.trust import Slice
from pipeline.paths import Workspace

if TYPE_CHECKING:
    from pipeline.evaluation.intervals import Interval

BY_GROUP = "by_group"  # the cell of a row that has the interval by group


def read_groups(dataset: dict[str, Any], workspace: Workspace) -> IntArray | None:
    """Return the number of each test image's group, int64 [n]; None where images have no groups."""
    return load_groups(workspace.prepared, "test") if "groups" in dataset["splits"]["test"] else None


def list_slices(dataset: dict[str, Any], test: Split) -> list[Slice]:
    """Return slices of the test images: of MNIST by who wrote them, of ink by its strokes; of other data sets none."""
    from pipeline.evaluation.strokes import slice_strokes
    from pipeline.evaluation.trust import slice_mnist

    labels = test.labels.astype(np.int64)
    slices = slice_mnist(test.index, labels) if dataset["name"] == "mnist" else []
    return slices + (slice_strokes(as_raw(test.pixels), labels) if dataset["resize"] == "ink" else [])


def tabulate_parts(
    given: IntArray, labels: IntArray, slices: Sequence[Slice], groups: IntArray | None, class_names: Sequence[str]
) -> list[Row]:
    """Return a row for all test images, one for each slice and one for each class.

    A row has a name, number of images, share of right answers, and its 95 % intervals: by Wilson and, if any, by group.
    """
    from pipeline.evaluation.intervals import bootstrap_groups

    parts = [Slice("all", np.ones(len(labels), bool), labels), *slices]
    parts += [Slice(name, labels == number, labels) for number, name in enumerate(class_names)]
    is_right = [(given == part.labels)[part.is_in] for part in parts]
    intervals: Sequence[Interval | None] = [None] * len(parts)
    if groups is not None:
        intervals = bootstrap_groups([(own, groups[part.is_in]) for own, part in zip(is_right, parts, strict=True)])
    return [
        {"name": part.name, **format_share(int(own.sum()), len(own)), BY_GROUP: format_interval(interval)}
        for part, own, interval in zip(parts, is_right, intervals, strict=True)
    ]


def format_share(right: int, images: int) -> Row:
    """Return number of images, share of right answers and its 95 % interval, by Wilson."""
    from pipeline.evaluation.significance import wilson_interval

    if not images:
        return {"images": "0", "right": EMPTY, "interval": EMPTY}
    interval = format_interval(wilson_interval(right, images))
    return {"images": f"{images:,}", "right": f"{right / images:.2%}", "interval": interval}


def format_interval(interval: "Interval | None") -> str:
    return f"{interval[0]:.2%} – {interval[1]:.2%}" if interval else EMPTY


def describe_decisions(found: Comparison, workspace: Workspace) -> dict[str, float]:
    """Return how many versions the gate has judged by these validation images, at which level, and what that means.

    The number is from the journal of the present store. `chance` is the probability that one or more of the versions
    pass if none is better and their tests are independent; `most` is its upper bound if they are not independent.
    """
    from pipeline.evaluation.gate import Candidate
    from pipeline.tracking.promotion import find_judged

    rows = next(iter(found.answers.values())).query("split == 'val'")
    image, label, answer = (rows[column].to_numpy() for column in ("image", "label", "answer"))
    own = Candidate(image, label, answer, size_bytes=0)
    judged = len(find_judged(read_registered_name(workspace), own.validation_sha256))
    alpha = load(workspace.params).promotion.alpha
    return {"judged": judged, "alpha": alpha, "chance": 1 - (1 - alpha) ** judged, "most": min(1.0, judged * alpha)}
