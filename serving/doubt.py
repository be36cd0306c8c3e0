"""Say which answers are unsure: those whose probabilities or strokes are unlike those of validation images.

Each image is described by the log-probabilities of its answer and, where a data set is ink, by seven measures of its
strokes. The answers to validation images, class by class, show which descriptions are usual: their means and the
covariance around these, which all classes share (Lee, Lee, Lee and Shin 2018, "A simple unified framework for detecting
out-of-distribution samples"). What is farther from its class's mean, by Mahalanobis' distance, than all but a few of
these is unsure. `evaluate` fits that and publishes it with the golden images; here it is applied.
"""

from typing import Any

import numpy as np

SMALLEST_PROBABILITY = 1e-7
MIN_INK = 32  # of 255, the same as a line of scans has: an image without as much has no strokes
LEVELS = (0.1, 0.25, 0.75)  # of full ink: what begins a soft edge, a stroke, and a stroke's middle
BETWEEN = 0.5  # of the largest probability: if the second has as much, both are close
MIN_DRAWING_SHARE = 0.15  # of the ink: less, apart from the rest, is no drawing of its own

NOTHING = "nothing is drawn"
SEVERAL = "several drawings"
CLOSE = "two classes are close"
UNLIKE = "unlike the training images"


def find_doubts(pixels: np.ndarray, probabilities: np.ndarray, usual: dict[str, Any], is_ink: bool) -> list[str | None]:
    """Return why each answer is unsure, None where it is sure.

    Of pixels 0…255 [n, height, width] or [n, height, width, 3], the answers to them [n, classes], and what
    `pipeline.evaluation.doubt.fit` found usual of a data set that is ink or is not.
    """
    described = describe(pixels, probabilities) if is_ink else describe_answers(probabilities)
    unsure = measure_distance(described, probabilities.argmax(axis=1), usual) > usual["limit"]
    if is_ink:
        unsure |= pixels.max(axis=(1, 2)) < MIN_INK
    return [
        explain(answer, image if is_ink else None) if is_unsure else None
        for image, answer, is_unsure in zip(pixels, probabilities, unsure, strict=True)
    ]


def describe_answers(probabilities: np.ndarray) -> np.ndarray:
    """Return the log-probabilities, float64 [n, classes]."""
    return np.log(np.maximum(probabilities.astype(np.float64), SMALLEST_PROBABILITY))


def describe(pixels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return float64 [n, classes + 7]: log-probabilities; ink, edges, soft ink, height, width, strokes per row, column.

    Of ink, [n, height, width]. Soft ink tells photographs, edges noise, the strokes per row and column letters and
    several digits.
    """
    ink = np.asarray(pixels, np.float64) / 255
    total = np.maximum(ink.sum(axis=(1, 2)), SMALLEST_PROBABILITY)
    edges = sum(np.abs(np.diff(ink, axis=axis)).sum(axis=(1, 2)) for axis in (1, 2))
    softest, soft, full = ((ink > level) for level in LEVELS)
    measures: list[np.ndarray] = [ink.mean(axis=(1, 2)), edges / total]
    measures += [(softest & ~full).sum(axis=(1, 2)) / np.maximum(softest.sum(axis=(1, 2)), 1)]
    sides = [soft.any(axis=axis).sum(axis=1) for axis in (2, 1)]
    measures += sides
    for axis, side in zip((2, 1), sides, strict=True):
        begun = np.diff(soft.astype(np.int8), axis=axis, prepend=0) > 0
        measures.append(begun.sum(axis=(1, 2)) / np.maximum(side, 1))
    return np.column_stack([describe_answers(probabilities), *measures])


def measure_distance(described: np.ndarray, classes: np.ndarray, usual: dict[str, Any]) -> np.ndarray:
    """Return the squared Mahalanobis distance of each description from the mean of its class, float64 [n]."""
    apart = (described - np.asarray(usual["means"])[classes]) / np.asarray(usual["scale"])
    distances: np.ndarray = ((apart @ np.asarray(usual["precision"])) * apart).sum(axis=1)
    return distances


def explain(answer: np.ndarray, drawing: np.ndarray | None) -> str:
    """Return the likeliest reason why an answer, to a drawing or to a picture (None), is unsure."""
    if drawing is not None and drawing.max() < MIN_INK:
        return NOTHING
    if drawing is not None and count_apart(drawing) > 1:
        return SEVERAL
    second, first = np.sort(answer)[-2:]
    return CLOSE if second >= BETWEEN * first else UNLIKE


def count_apart(image: np.ndarray) -> int:
    """Return into how many parts of much ink empty rows, or empty columns, divide an image."""
    counts = []
    for axis in (0, 1):
        profile = np.where(image >= MIN_INK, image, 0).sum(axis=axis, dtype=float)
        parts = np.bincount(np.cumsum(np.diff(profile > 0, prepend=False)), profile)
        counts.append((parts > MIN_DRAWING_SHARE * profile.sum()).sum())
    return int(max(counts))
