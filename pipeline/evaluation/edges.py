"""Canny's edge detector on many images at once: arrays in, arrays out."""

import numpy as np
from scipy import ndimage

from pipeline.data.arrays import BoolArray, FloatArray

DEVIATION, WEAK, STRONG = 1.0, 0.1, 0.2  # the defaults of scikit-image, with which MNIST-C was made


def find_edges(images: FloatArray) -> BoolArray:
    """Return where images in [0, 1], [n, height, width], have an edge: a mask of the same shape.

    There the gradient is largest across the edge and at least WEAK, on a line that is STRONG somewhere. Source: J.
    Canny, A computational approach to edge detection, IEEE PAMI 8 (1986).
    """
    blurred, seen = (
        ndimage.gaussian_filter(each, (0, DEVIATION, DEVIATION), mode="constant")
        for each in (images.astype(np.float64), np.ones((1, *images.shape[1:])))
    )
    down, right = (
        ndimage.correlate1d(ndimage.correlate1d(blurred / seen, (-1, 0, 1), axis), (1, 2, 1), 3 - axis)
        for axis in (1, 2)
    )
    size = np.hypot(down, right)
    is_edge = np.zeros(images.shape, bool)
    inner = size[:, 1:-1, 1:-1] >= WEAK  # on the border, neighbours are missing
    places = tuple(each + border for each, border in zip(np.nonzero(inner), (0, 1, 1), strict=True))
    is_edge[places] = _is_largest(size, down[places], right[places], places)
    return _keep_strong_lines(is_edge, is_edge & (size >= STRONG))


def _is_largest(size: FloatArray, down: FloatArray, right: FloatArray, places: tuple[np.ndarray, ...]) -> BoolArray:
    """Return at which places [k] the gradient (down, right) is at least as large as one pixel ahead and one behind.

    Its size there is interpolated between the nearest neighbour along an axis and the diagonal neighbour.
    """
    number, row, column = places
    steps_down, steps_right = np.sign(down).astype(int), np.sign(right).astype(int)
    is_steep = np.abs(down) >= np.abs(right)
    share = np.minimum(np.abs(down), np.abs(right)) / np.maximum(np.abs(down), np.abs(right))
    largest = np.ones(len(number), bool)
    for side in (1, -1):
        diagonal = size[number, row + side * steps_down, column + side * steps_right]
        straight = size[number, row + side * steps_down * is_steep, column + side * steps_right * ~is_steep]
        largest &= share * diagonal + (1 - share) * straight <= size[places]
    return largest


def _keep_strong_lines(is_edge: BoolArray, is_strong: BoolArray) -> BoolArray:
    """Return the edges that are connected with a strong edge of the same image."""
    neighbours = np.zeros((3, 3, 3), bool)
    neighbours[1] = True
    lines, count = ndimage.label(is_edge, neighbours)
    is_kept = np.zeros(count + 1, bool)
    is_kept[lines[is_strong]] = True
    kept: BoolArray = is_kept[lines]
    return kept
