"""Measure how far images and their answers differ from the validation images, by the population stability index.

`evaluate` counts the validation images in bins of each statistic and publishes the counts with the golden images; the
app counts its own answers in the same bins. If a bin's two shares are p and q, the index is the sum of (p − q)
ln(p / q) over the bins: a symmetric Kullback–Leibler divergence. By a rule of thumb of credit scoring, an index below
0.1 means no change, and one above 0.25 a large change (N. Siddiqi, Credit risk scorecards, 2006). If nothing has
changed, n images compared with m give an index of about (bins − 1)(1/n + 1/m) (B. Yurdakul, Statistical properties of
population stability index, 2018).
"""

import numpy as np
from numpy.typing import NDArray

DRAWN = 0.25  # of full ink: a pixel above it is in a stroke, as in serving.doubt
MAX_SIDE = 256  # pixels; of a larger image only every second, third … row and column is used
SMALLEST = 1e-7  # sum of brightness: an image with less is black
ADDED = 0.5  # to each bin's count, so that an empty one doesn't make the index infinite


def describe(pixels: np.ndarray, classes: np.ndarray, confidences: np.ndarray, is_ink: bool) -> dict[str, np.ndarray]:
    """Return each statistic of n images and the answers to them, [n] each.

    `pixels` are 0…255, [n, height, width] or [n, height, width, 3]; `classes` (numbers) and `confidences` are [n].
    `row` and `column` are the centre of the brightness, 0 to 1; `height` and `width` are how many rows and columns have
    ink; `warmth`, −1 to 1, is how much redder than blue a picture is, which reveals colours in another order.
    """
    step = -(-max(pixels.shape[1:3]) // MAX_SIDE)
    bright = np.asarray(pixels[:, ::step, ::step], np.float32) / 255
    grey = bright if bright.ndim == 3 else bright.mean(axis=3)
    rows, columns = grey.mean(axis=2), grey.mean(axis=1)
    found = {
        "class": classes,
        "confidence": confidences,
        "brightness": rows.mean(axis=1),
        "contrast": grey.std(axis=(1, 2)),
        "row": find_centre(rows),
        "column": find_centre(columns),
    }
    if is_ink:
        is_drawn = grey > DRAWN
        found |= {"height": is_drawn.any(axis=2).sum(axis=1), "width": is_drawn.any(axis=1).sum(axis=1)}
    if bright.ndim == 4:
        found["warmth"] = bright[..., 0].mean(axis=(1, 2)) - bright[..., 2].mean(axis=(1, 2))
    return found


def find_centre(profile: np.ndarray) -> np.ndarray:
    """Return the centre of brightness profiles [n, length], 0 to 1, as [n]; 0.5 for a black image."""
    places = (np.arange(profile.shape[1], dtype=np.float32) + 0.5) / profile.shape[1]
    total = profile.sum(axis=1)
    centre: np.ndarray = np.where(total > SMALLEST, profile @ places / np.maximum(total, SMALLEST), 0.5)
    return centre


def place(values: np.ndarray, edges: np.ndarray) -> NDArray[np.intp]:
    """Return the bin of each value, 0 to len(edges): a bin excludes its lower edge and includes its upper one."""
    return np.searchsorted(edges, values)


def count(bins: np.ndarray, edges: np.ndarray) -> NDArray[np.intp]:
    """Return how often each bin occurs, [edges + 1]."""
    return np.bincount(bins, minlength=len(edges) + 1)


def measure(counts: np.ndarray, usual: np.ndarray) -> float:
    """Return the population stability index of two counts of the same bins."""
    share, usual_share = ((given + ADDED) / (given + ADDED).sum() for given in (counts, usual))
    return float(((share - usual_share) * np.log(share / usual_share)).sum())
