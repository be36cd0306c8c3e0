"""How thick and how slanted the strokes of an image are: grey ink on black in, pixels and degrees out."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.data.arrays import BoolArray, IntArray, UInt8Array
from pipeline.evaluation.trust import Slice
from pipeline.inference import split_in_batches

THICKNESS_PX = (2.0, 3.0, 4.0)
SLANT_DEGREES = (-5.0, 10.0, 25.0)
TINY = 1e-9

Floats = NDArray[np.float64]


def measure_thickness(pixels: UInt8Array) -> Floats:
    """Return the mean width of the strokes of images [n, height, width], float64 [n], in pixels; 0 without ink.

    This is the area of the strokes divided by half the length of their outline. As edges are soft, the area is the sum
    of the ink, and the length is the sum of its slopes. Strokes thinner than two pixels measure up to two. Source:
    W. H. Fleming and R. Rishel, An integral formula for total gradient variation, Archiv der Mathematik 11 (1960).
    """
    ink = np.pad(pixels.astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    down, across = ink[:, 1:, :] - ink[:, :-1, :], ink[:, :, 1:] - ink[:, :, :-1]
    # At each corner that four pixels share, take the mean of the two slopes in each direction.
    down, across = (down[:, :, 1:] + down[:, :, :-1]) / 2, (across[:, 1:, :] + across[:, :-1, :]) / 2
    outline = np.hypot(down, across).sum(axis=(1, 2))
    thickness: Floats = 2 * ink.sum(axis=(1, 2)) / np.maximum(outline, TINY)
    return thickness


def measure_slant(pixels: UInt8Array) -> Floats:
    """Return how far the strokes of images [n, height, width] lean to the right, float64 [n], in degrees from upright.

    This is the angle of the shear that makes the covariance of the ink's rows and columns zero. Source: D. C. Castro,
    J. Tan, B. Kainz, E. Konukoglu and B. Glocker, Morpho-MNIST, JMLR 20 (2019).
    """
    ink = pixels.astype(np.float64)
    total = np.maximum(ink.sum(axis=(1, 2)), TINY)
    height, width = ink.shape[1:]
    rows, columns = ink.sum(axis=2), ink.sum(axis=1)
    up = (rows @ np.arange(height) / total)[:, np.newaxis] - np.arange(height)
    right = np.arange(width) - (columns @ np.arange(width) / total)[:, np.newaxis]
    together = np.einsum("nij,ni,nj->n", ink, up, right) / total
    alone = np.einsum("ni,ni->n", rows, up**2) / total
    slant: Floats = np.degrees(np.arctan2(together, np.maximum(alone, TINY)))
    return slant


def slice_strokes(pixels: UInt8Array, labels: IntArray) -> list[Slice]:
    """Return slices of the images [n, height, width] by thickness and by slant, without empty slices."""
    parts = []
    for measure, bounds, form in (
        (measure_thickness, THICKNESS_PX, "strokes of {} pixels"),
        (measure_slant, SLANT_DEGREES, "slant of {} degrees"),
    ):
        measured = np.concatenate([measure(batch) for batch in split_in_batches(pixels)])
        parts += [Slice(name, is_in, labels) for name, is_in in _divide(measured, bounds, form)]
    return [part for part in parts if part.is_in.any()]


def _divide(measured: Floats, bounds: Sequence[float], form: str) -> Iterator[tuple[str, BoolArray]]:
    """Yield the name of each part between two bounds, and which images are in it: bool [n]."""
    ranges = [f"{low:g} to {high:g}" for low, high in pairwise(bounds)]
    place = np.digitize(measured, bounds)
    for number, name in enumerate([f"less than {bounds[0]:g}", *ranges, f"{bounds[-1]:g} or more"]):
        yield form.format(name), place == number
