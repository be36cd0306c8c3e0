"""What each model answered to the test images, as the page on all models shows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.cli import UserError
from pipeline.commands.compare import Comparison
from pipeline.data.arrays import BoolArray, FloatArray, IntArray
from pipeline.data.prepared import Split
from pipeline.paths import Workspace

NEEDED = ("temperature", "test_loss", "test_brier", "test_calibration_error")  # of metrics.json


@dataclass(frozen=True)
class Answers:
    """One model's answers to the test images, as evaluate wrote them; classes as numbers."""

    index: IntArray
    """`Split.index` of the images, int64 [n]."""
    labels: IntArray
    given: IntArray
    probabilities: FloatArray
    """Float64 [n, classes]."""

    @cached_property
    def is_right(self) -> BoolArray:
        return np.equal(self.labels, self.given)

    @cached_property
    def confidence(self) -> FloatArray:
        confidence: FloatArray = self.probabilities.max(axis=1)
        return confidence


def read_answers(
    name: str, found: Comparison, class_names: Sequence[str], test: Split, workspace: Workspace
) -> Answers:
    """Return the answers of one model to the test images; raise UserError if they are to other images than `test`."""
    from pipeline.evaluation.tables import PROBABILITY, read_predictions

    again = f"{workspace.report(name)} is of other test images or of an older version: run `dvc repro`"
    table = read_predictions(workspace.report(name) / "predictions.csv", None).query("split == 'test'")
    columns = [f"{PROBABILITY}{label}" for label in class_names]
    numbers = {label: number for number, label in enumerate(class_names)}
    if not numbers.keys() >= {*table["label"], *table["answer"]} or not {*columns} <= {*table}:
        raise UserError(again)
    labels, given = (np.array([numbers[name] for name in table[column]]) for column in ("label", "answer"))
    index = table["image"].to_numpy(np.int64)
    is_same = np.array_equal(index, test.index) and np.array_equal(labels, test.labels)
    if not is_same or any(key not in found.metrics[name] for key in NEEDED):
        raise UserError(again)
    return Answers(index, labels, given, table[columns].to_numpy(np.float64))
