"""Find the unsure answers: their probabilities or strokes are unlike those of the validation images.

Each image is described by the log-probabilities of its answer and, where a data set is ink, by seven measures of its
strokes. The validation images show what is usual: the mean description of each class, and one covariance around the
means that all classes share (Lee, Lee, Lee and Shin 2018, "A simple unified framework for detecting out-of-distribution
samples"). An answer is unsure if its Mahalanobis distance from the mean of its class is larger than that of all but a
few validation images. `evaluate` fits this and publishes it with the golden images; this module applies it.
"""

from typing import Any

import numpy as np

SMALLEST_PROBABILITY = 1e-7
MIN_INK = 32  # of 255, as in ink.has_mnist_form: an image without such a pixel has no strokes
LEVELS = (0.1, 0.25, 0.75)  # of full ink: above these a pixel is in a soft edge, in a stroke, in a stroke's middle
BETWEEN = 0.5  # times the largest probability: if the second largest is at least this, the two classes are close
MIN_DRAWING_SHARE = 0.15  # of all ink: a separate part with less isn't counted as a drawing

NOTHING = "nothing is drawn"
SEVERAL = "several drawings"
CLOSE = "two classes are close"
UNLIKE = "unlike the training images"


def find_doubts(pixels: np.ndarray, probabilities: np.ndarray, usual: dict[str, Any], is_ink: bool) -> list[str | None]:
    """Return for each answer the reason why it is unsure, or None if it is sure.

    `pixels` are 0…255, [n, height, width] or [n, height, width, 3]; `probabilities` are the answers to them,
    [n, classes]; `usual` is the result of `pipeline.evaluation.doubt.fit` for the same `is_ink`.
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

    `pixels` are ink, [n, height, width]. Soft ink reveals photographs, edges reveal noise, and strokes per row and
    column reveal letters and several digits.
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
    """Return the likeliest reason why an answer is unsure; `drawing` is the image of ink, None for other pictures."""
    if drawing is not None and drawing.max() < MIN_INK:
        return NOTHING
    if drawing is not None and count_apart(drawing) > 1:
        return SEVERAL
    second, first = np.sort(answer)[-2:]
    return CLOSE if second >= BETWEEN * first else UNLIKE


def count_apart(image: np.ndarray) -> int:
    """Count the parts with much ink that empty rows, or empty columns, separate; return the larger of both counts."""
    counts = []
    for axis in (0, 1):
        profile = np.where(image >= MIN_INK, image, 0).sum(axis=axis, dtype=float)
        parts = np.bincount(np.cumsum(np.diff(profile > 0, prepend=False)), profile)
        counts.append((parts > MIN_DRAWING_SHARE * profile.sum()).sum())
    return int(max(counts))
