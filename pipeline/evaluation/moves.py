"""Shift, turn and scale images, [n, height, width] or [n, height, width, 3], of any type: arrays in, arrays out."""

from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

Images = TypeVar("Images", bound=NDArray[Any])
Map = tuple[tuple[float, float], tuple[float, float]]
"""A matrix from a pixel's new place, (row, column) from the centre, to its old place."""


def shift(images: Images, down: ArrayLike, right: ArrayLike, is_repeated: bool = True) -> Images:
    """Return images shifted by whole pixels, each by its own [n] or all by one.

    Pixels from outside the image repeat its edge, or are 0.
    """
    rows, columns = np.broadcast_to(down, len(images)), np.broadcast_to(right, len(images))
    reach = max(int(np.abs(rows).max()), int(np.abs(columns).max()))
    around = [(0, 0), (reach, reach), (reach, reach), *[(0, 0)] * (images.ndim - 3)]
    padded = np.pad(images, around, "edge" if is_repeated else "constant")
    windows = np.lib.stride_tricks.sliding_window_view(padded, images.shape[1:3], axis=(1, 2))
    taken = windows[np.arange(len(images)), reach - rows, reach - columns]
    # In `taken`, colours are before the rows and columns of the window: move them to the end.
    return cast(Images, taken if images.ndim == 3 else np.moveaxis(taken, 1, -1))


def transform(images: Images, before: Map, is_repeated: bool = True) -> Images:
    """Return images under a linear map about their centre, bilinear; `before` maps new places to old ones."""
    matrix = np.eye(images.ndim)
    matrix[1:3, 1:3] = before
    centre = (np.array(images.shape) - 1) / 2
    mode = "nearest" if is_repeated else "grid-constant"
    return cast(Images, ndimage.affine_transform(images, matrix, centre - matrix @ centre, order=1, mode=mode))


def turn(images: Images, degrees: float) -> Images:
    """Return images turned about their centre, to the left for positive degrees."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return transform(images, ((cosine, sine), (-sine, cosine)))


def resize(images: Images, factor: float) -> Images:
    """Return images whose content is `factor` times as large, scaled about the centre."""
    return transform(images, ((1 / factor, 0), (0, 1 / factor)))
