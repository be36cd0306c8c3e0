"""Confidence intervals of a share of right answers for images that come in groups: arrays in, numbers out."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.data.arrays import BoolArray, IntArray

ROUNDS = 2000  # with other random draws, the ends of a 95 % interval differ by about a twentieth of its width
DRAWN_AT_ONCE = 2_000_000  # counts; bounds the memory

Floats = NDArray[np.float64]
Interval = tuple[float, float]


def bootstrap_groups(
    parts: Sequence[tuple[BoolArray, IntArray]], confidence: float = 0.95, rounds: int = ROUNDS, seed: int = 0
) -> list[Interval | None]:
    """Return, for each part of the images, the interval of its share of right answers, by the cluster bootstrap.

    A part has, for each image, whether the answer is right, bool [n], and the number of its group, int64 [n]. A round
    draws as many groups as there are in all parts, with replacement and with all their images; the interval holds the
    middle `confidence` of the shares. It is None for a part with one group, or with only right or only wrong answers:
    each round gives the same share. Sources: C. A. Field and A. H. Welsh, Bootstrapping clustered data, Journal of the
    RSS B 69 (2007); B. Efron and R. J. Tibshirani, An introduction to the bootstrap (1993), chapter 13.
    """
    numbers = np.unique(np.concatenate([groups for _, groups in parts]), return_inverse=True)[1]
    own = np.split(numbers, np.cumsum([len(groups) for _, groups in parts])[:-1])
    count = int(numbers.max(initial=-1)) + 1
    images = np.stack([np.bincount(groups, minlength=count) for groups in own]).astype(float)
    right = np.stack([np.bincount(groups, is_right, count) for groups, (is_right, _) in zip(own, parts, strict=True)])
    varies = (images > 0).sum(axis=1) > 1
    varies &= (right.sum(axis=1) > 0) & (right.sum(axis=1) < images.sum(axis=1))
    found: list[Interval | None] = [None] * len(parts)
    if varies.any():
        shares = _draw_shares(right[varies], images[varies], rounds, np.random.default_rng(seed))
        tail = (1 - confidence) / 2
        ends = np.nanquantile(shares, (tail, 1 - tail), axis=0)
        for place, low, high in zip(np.flatnonzero(varies).tolist(), *ends.tolist(), strict=True):
            found[place] = low, high
    return found


def _draw_shares(right: Floats, images: Floats, rounds: int, random: np.random.Generator) -> Floats:
    """Return shares of right answers, [rounds, parts], from counts [parts, groups]; NaN if no image was drawn."""
    count = images.shape[1]
    step = max(1, DRAWN_AT_ONCE // count)
    shares = []
    for start in range(0, rounds, step):
        times = random.multinomial(count, np.full(count, 1 / count), min(step, rounds - start)).astype(float)
        with np.errstate(invalid="ignore"):
            shares.append((times @ right.T) / (times @ images.T))
    return np.concatenate(shares)
