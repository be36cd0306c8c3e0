"""Candidates for the promotion gate, whose mistakes a test chooses."""

from typing import Any

import numpy as np

from pipeline.config.promotion import Promotion
from pipeline.evaluation.gate import Candidate

POLICY = Promotion(min_accuracy_gain=0.0, alpha=0.05, max_size_bytes=None, max_latency_ms=None)
LABELS = np.arange(1000) % 10


def candidate(wrong: range | np.ndarray = range(0), images: np.ndarray | None = None, **cost: Any) -> Candidate:
    """Return a candidate that is wrong on the images of these numbers."""
    digit = LABELS.copy()
    digit[list(wrong)] = (digit[list(wrong)] + 1) % 10
    places = np.arange(1000) if images is None else images
    return Candidate(places, LABELS, digit, **{"size_bytes": 1000, **cost})
