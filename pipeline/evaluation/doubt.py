"""Find which answers are usual for validation images; serving/doubt.py says whether other answers are usual."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.arrays import FloatArray, UInt8Array
from serving.doubt import describe, describe_answers, measure_distance

UNSURE_SHARE = 0.005  # of validation images
RIDGE = 0.3  # share added to each measure's variance: one that hardly varies on validation images can't decide alone
MIN_DEVIATION = 0.01  # of each measure: a network that is certain of all validation images may be less so of others
DIGITS = 6  # significant digits of each number
BATCH_IMAGES = 1000  # described at once; bounds the memory


def fit(pixels: UInt8Array, probabilities: FloatArray, is_ink: bool) -> dict[str, Any] | None:
    """Return `means`, `scale`, `precision` and `limit` of the answers, [n, classes], to raw pixels, [n, …].

    Strokes are measured, too, if the data set is ink. UNSURE_SHARE of the images are beyond the limit; for it, each
    half is compared with the other half, because an image is nearer to a mean that includes it. Return None for fewer
    than two images.
    """
    if len(probabilities) < 2:
        return None
    starts = range(0, len(probabilities), BATCH_IMAGES)
    described = np.concatenate([
        describe(pixels[start : start + BATCH_IMAGES], probabilities[start : start + BATCH_IMAGES])
        if is_ink
        else describe_answers(probabilities[start : start + BATCH_IMAGES])
        for start in starts
    ])  # fmt: skip
    classes, count = probabilities.argmax(axis=1), probabilities.shape[1]
    is_first = np.zeros(len(classes), bool)
    is_first[np.argsort(classes, kind="stable")[::2]] = True  # half of each class
    distances = [
        measure_distance(described[~half], classes[~half], fit_classes(described[half], classes[half], count))
        for half in (is_first, ~is_first)
    ]
    limit = np.quantile(np.concatenate(distances), 1 - UNSURE_SHARE, method="higher")
    limit = max(limit, described.shape[1])  # the mean distance if the measures were uncorrelated
    return fit_classes(described, classes, count) | {"limit": shorten(limit)}


def fit_classes(described: NDArray[np.float64], classes: NDArray[np.int64], count: int) -> dict[str, Any]:
    """Return each class's mean, each measure's deviation within the classes, and the inverse of their correlation.

    A class that is never answered gets the mean of all answers.
    """
    found = [described[classes == number] for number in range(count)]
    means = np.stack([(own if len(own) else described).mean(axis=0) for own in found])
    apart = described - means[classes]
    scale = np.maximum(apart.std(axis=0), MIN_DEVIATION)
    correlation = (apart / scale).T @ (apart / scale) / len(apart)
    precision = np.linalg.inv(correlation + RIDGE * np.eye(len(scale)))
    return {"means": shorten(means), "scale": shorten(scale), "precision": shorten(precision)}


def shorten(numbers: NDArray[np.float64] | np.float64) -> Any:
    """Return the numbers as lists, to DIGITS significant digits: the last bits mean nothing."""
    shortened = [float(f"{number:.{DIGITS}g}") for number in np.ravel(numbers)]
    return np.reshape(shortened, np.shape(numbers)).tolist()
