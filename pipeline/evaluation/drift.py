"""Count the validation images in bins of each statistic; serving/drift.py compares others with them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.arrays import FloatArray, UInt8Array
from serving.drift import count, describe, place

MAX_BINS, IMAGES_PER_BIN = 10, 30
MIN_IMAGES = 100  # with fewer, chance alone would look like drift
DIGITS = 4  # significant digits of each edge: the last bits mean nothing
SUREST = 0.999  # confidences above this differ between machines
BATCH_IMAGES = 1000  # described at once; bounds the memory


def fit(pixels: UInt8Array, probabilities: FloatArray, is_ink: bool) -> dict[str, Any] | None:
    """Return `edges` and `counts` of each statistic's bins, of raw pixels, [n, …], and the answers to them.

    All bins hold about the same number of images; fewer images get fewer bins. None for fewer than MIN_IMAGES.
    """
    if len(pixels) < MIN_IMAGES:
        return None
    bins = min(MAX_BINS, len(pixels) // IMAGES_PER_BIN)
    classes, confidences = probabilities.argmax(axis=1), probabilities.max(axis=1)
    parts = [
        describe(pixels[part], classes[part], confidences[part], is_ink)
        for part in (slice(start, start + BATCH_IMAGES) for start in range(0, len(pixels), BATCH_IMAGES))
    ]
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    edges = {name: find_edges(found, bins) for name, found in values.items()}
    edges |= {
        "class": group_classes(classes, probabilities.shape[1], bins),
        "confidence": find_edges(np.minimum(confidences, SUREST), bins),
    }
    return {
        name: {"edges": edges[name].tolist(), "counts": count(place(found, edges[name]), edges[name]).tolist()}
        for name, found in values.items()
    }


def find_edges(values: NDArray[np.floating], bins: int) -> NDArray[np.float64]:
    """Return the inner edges of at most `bins` bins that hold about as many values each; equal values share a bin."""
    quantiles = np.quantile(values, np.arange(1, bins) / bins)
    return np.array(sorted({float(f"{edge:.{DIGITS}g}") for edge in quantiles}))


def group_classes(classes: NDArray[np.int64], number: int, bins: int) -> NDArray[np.float64]:
    """Return edges between `number` class numbers: a bin per class or, if there are more, at most `bins` groups."""
    if number <= bins:
        return np.arange(0.5, number - 1)
    quantiles = np.quantile(classes, np.arange(1, bins) / bins)
    return np.array([edge + 0.5 for edge in sorted(set(np.floor(quantiles).tolist()))])
