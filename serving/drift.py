"""Measure by how much images and the answers to them differ from validation images: the population stability index.

`evaluate` counts the validation images in bins of each statistic and publishes the counts with the golden images; the
app counts its own answers in the same bins. Where the shares are p and q, the index is the sum of (p − q) ln(p / q): a
symmetric Kullback–Leibler divergence. By a rule of thumb of credit scoring, below 0.1 nothing has changed, above 0.25
much has (N. Siddiqi, Credit risk scorecards, 2006). Without any change n images, compared with m, give about
(bins − 1)(1/n + 1/m) (B. Yurdakul, Statistical properties of population stability index, 2018).
"""

import numpy as np
from numpy.typing import NDArray

DRAWN = 0.25  # of full ink: a stroke, as serving.doubt has it
MAX_SIDE = 256  # of larger images every second, third … row and column is enough
SMALLEST = 1e-7  # of all brightness: less is a black image
ADDED = 0.5  # to each bin's count, so that an empty one doesn't make the index infinite


def describe(pixels: np.ndarray, classes: np.ndarray, confidences: np.ndarray, is_ink: bool) -> dict[str, np.ndarray]:
    """Return each statistic of n images and the answers to them, [n] each.

    Of pixels 0…255 [n, height, width] or [n, height, width, 3], class numbers and confidences [n]. `row` and `column`
    are where the middle of the brightness lies, 0 to 1; `height` and `width`, in pixels, how far ink reaches; `warmth`,
    −1 to 1, how much redder than blue a picture is, which tells colours in another order.
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
    """Return where the middle of a brightness, [n, length], lies, 0 to 1; of a black image 0.5."""
    places = (np.arange(profile.shape[1], dtype=np.float32) + 0.5) / profile.shape[1]
    total = profile.sum(axis=1)
    centre: np.ndarray = np.where(total > SMALLEST, profile @ places / np.maximum(total, SMALLEST), 0.5)
    return centre


def place(values: np.ndarray, edges: np.ndarray) -> NDArray[np.intp]:
    """Return each value's bin, 0 to the number of edges: above one edge, up to and with the next."""
    return np.searchsorted(edges, values)


def count(bins: np.ndarray, edges: np.ndarray) -> NDArray[np.intp]:
    """Return how often each bin occurs, [edges + 1]."""
    return np.bincount(bins, minlength=len(edges) + 1)


def measure(counts: np.ndarray, usual: np.ndarray) -> float:
    """Return the population stability index of two counts of the same bins."""
    share, usual_share = ((given + ADDED) / (given + ADDED).sum() for given in (counts, usual))
    return float(((share - usual_share) * np.log(share / usual_share)).sum())
