"""Which part of an image speaks for an answer: what covering it does to the answer's probability.

Source: M. Zeiler and R. Fergus, Visualizing and understanding convolutional networks, ECCV 2014.
"""

from collections.abc import Callable

import numpy as np

from pipeline.data.arrays import FloatArray, IntArray, UInt8Array

PATCHES_IN_A_ROW = 7  # as wide as a seventh of the image, half of which lies on the next one
Predict = Callable[[UInt8Array], FloatArray]
"""From raw pixels [n, …] to probabilities [n, classes]."""


def measure_support(predict: Predict, image: UInt8Array, answer: int) -> FloatArray:
    """Return by how much the answer's probability falls where a patch covers the image, [height, width].

    The mean of all patches that cover a pixel; below 0 where covering it makes the answer more likely. A patch has the
    image's median colour, which in a drawing is the background. `image` is [height, width] or [height, width, 3].
    """
    height, width = image.shape[:2]
    size = max(2, round(min(height, width) / PATCHES_IN_A_ROW))
    corners = [(y, x) for y in _list_starts(height, size) for x in _list_starts(width, size)]
    covered = np.repeat(image[np.newaxis], len(corners) + 1, axis=0)
    background = np.median(image, axis=(0, 1)).astype(np.uint8)
    for copy, (y, x) in zip(covered[1:], corners, strict=True):
        copy[y : y + size, x : x + size] = background
    whole, *parts = predict(covered)[:, answer]
    falls, times = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    for part, (y, x) in zip(parts, corners, strict=True):
        falls[y : y + size, x : x + size] += whole - part
        times[y : y + size, x : x + size] += 1
    falls /= np.maximum(times, 1)
    return falls


def _list_starts(length: int, size: int) -> list[int]:
    """Return where patches begin along an axis, half a patch apart, the last one at its end."""
    last = max(0, length - size)
    return sorted({*range(0, last, max(1, size // 2)), last})


def overlay(image: UInt8Array, support: FloatArray) -> UInt8Array:
    """Return the image in grey, blue where it speaks for the answer and orange where against it, [height, width, 3].

    The strongest colour is the largest value of `support`, [height, width], in either direction.
    """
    grey = image if image.ndim == 2 else image.mean(axis=2)
    share = (support / max(float(np.abs(support).max()), 1e-6))[..., np.newaxis]
    colours = np.where(share > 0, [60.0, 140.0, 255.0], [255.0, 140.0, 40.0])
    mixed = np.repeat(0.5 * grey[..., np.newaxis], 3, axis=2) + 0.5 * np.abs(share) * colours
    drawn: UInt8Array = mixed.astype(np.uint8)
    return drawn


def find_extremes(labels: IntArray, confidence: FloatArray, is_right: np.ndarray) -> list[tuple[int, int, int]]:
    """Return for each class with right answers its number, and the places of the surest and of the least sure one."""
    found = []
    for label in np.unique(labels[is_right]):
        own = np.flatnonzero(is_right & (labels == label))
        found.append((int(label), int(own[confidence[own].argmax()]), int(own[confidence[own].argmin()])))
    return found
