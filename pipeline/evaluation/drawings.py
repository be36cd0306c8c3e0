"""What the corruptions of MNIST-C draw over images of 28×28: clouds, lines and zigzags, float32 [n, …] in [0, 1]."""

from itertools import pairwise

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipeline.data.arrays import FloatArray, IntArray

SIDE, CLOUD_SIDE = 28, 256
Points = tuple[NDArray[np.float64], NDArray[np.float64]]
"""A column and a row for each image, [n] each."""


def draw_clouds(count: int, random: Generator) -> FloatArray:
    """Return heights in [0, 1], float32 [count, 256, 256], by the diamond-square algorithm on a torus.

    The random displacement is divided by 1.4² after each step. Source: A. Fournier, D. Fussell and L. Carpenter,
    Computer rendering of stochastic models, CACM 25 (1982).
    """
    heights = np.zeros((count, CLOUD_SIDE, CLOUD_SIDE), np.float32)
    step, reach = CLOUD_SIDE, 1.0

    def displace(sums: FloatArray) -> FloatArray:
        return sums / 4 + np.float32(reach) * (2 * random.random(sums.shape, np.float32) - 1)

    while step >= 2:
        half = step // 2
        corners, centres = heights[:, ::step, ::step], heights[:, half::step, half::step]
        sides = corners + np.roll(corners, -1, axis=1)
        centres[:] = displace(sides + np.roll(sides, -1, axis=2))
        heights[:, ::step, half::step] = displace(
            centres + np.roll(centres, 1, axis=1) + corners + np.roll(corners, -1, axis=2)
        )
        heights[:, half::step, ::step] = displace(
            centres + np.roll(centres, 1, axis=2) + corners + np.roll(corners, -1, axis=1)
        )
        step, reach = half, reach / 1.4**2
    heights -= heights.min(axis=(1, 2), keepdims=True)
    return np.asarray(heights / heights.max(axis=(1, 2), keepdims=True))


def draw_zigzags(first: IntArray, rise: IntArray) -> FloatArray:
    """Return a zigzag per image, of amplitude 2 and period 8, from column 2 to 25 and row `first` to `first + rise`."""
    angle = np.arctan(rise / 23)
    length = 23 / np.cos(angle)
    # The distances of its corners along the line and across it; the last corner is where the line ends.
    corners = [(0 * length, 0 * length)]
    corners += [(2.0 + 4 * number + 0 * length, 2.0 * (-1) ** number + 0 * length) for number in range(6)]
    corners += [(length, -1 / (length - 20))]
    turned = [
        (2 + np.cos(angle) * along - np.sin(angle) * across, first + np.sin(angle) * along + np.cos(angle) * across)
        for along, across in corners
    ]
    drawn = np.zeros((len(first), SIDE, SIDE), np.float32)
    for start, end in pairwise(turned):
        drawn += draw_lines(start, end)
    return drawn


def draw_lines(start: Points, end: Points) -> FloatArray:
    """Return one line per image, from a (column, row), [n] each, to one further right; it fades over 1.5 rows."""
    columns, rows = np.arange(SIDE, dtype=np.float32), np.arange(SIDE, dtype=np.float32)[:, np.newaxis]
    left, top, right, bottom = (np.asarray(part, np.float32)[:, np.newaxis, np.newaxis] for part in (*start, *end))
    away = np.abs(rows - (top + (bottom - top) / (right - left) * (columns - left)))
    faded = np.log(1 - np.minimum(away, 2) / np.float32(2.3)) + 1  # below 0 from 1.5 on
    is_beside = (columns < np.floor(left)) | (columns >= np.ceil(right))
    return np.where(is_beside, 0, np.clip(faded, 0, 1)).astype(np.float32)
