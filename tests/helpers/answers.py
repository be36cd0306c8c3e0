"""Answers of a model's exported files, in the form from which `evaluate` computes metrics."""

from collections.abc import Sequence

import numpy as np

from pipeline.data.prepared import Split
from pipeline.evaluation.report import Answers

LABELS = np.array([0, 1, 2, 1])
METRICS = (
    "parameters", "temperature",
    "val_accuracy", "val_loss", "val_brier", "val_calibration_error", "int8_val_accuracy",
    "test_accuracy", "test_loss", "test_brier", "test_calibration_error", "int8_test_accuracy",
    "litert_differing_labels",
)  # fmt: skip
"""The keys of metrics.json with one seed, in order. `score` may return more."""


def make_answers(by_seed: Sequence[Sequence[int]], litert: Sequence[int], int8: Sequence[int]) -> Answers:
    """Return answers to four images with LABELS, of which each gives one digit the probability 1."""
    split = Split(np.zeros((4, 28, 28, 1), np.uint8), LABELS.astype(np.uint16), np.arange(4))
    given = [np.eye(3, dtype=np.float32)[list(digits)] for digits in (*by_seed, litert, int8)]
    return Answers(split, given[: len(by_seed)], given[-2], given[-1])
