"""Candidates for the promotion gate, whose mistakes a test chooses."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from pipeline.config.promotion import Promotion
from pipeline.evaluation.gate import Candidate

POLICY = Promotion(min_accuracy_gain=0.0, alpha=0.01, max_class_loss=0.05, max_size_bytes=None, max_latency_ms=None)
LABELS = np.arange(1000) % 10


def candidate(
    wrong: Iterable[int] = (), places: Iterable[int] | None = None, labels: np.ndarray = LABELS, **cost: Any
) -> Candidate:
    """Return a candidate that is wrong on the images numbered `wrong`; `places` are the places in the raw file."""
    answers = labels.copy()
    answers[list(wrong)] = (answers[list(wrong)] + 1) % 10
    image = np.arange(len(labels)) if places is None else np.array(places)
    return Candidate(image, labels.astype(str), answers.astype(str), **{"size_bytes": 1000, **cost})
