"""How much a measured accuracy can be trusted, and whether two of them differ: counts and arrays in, numbers out."""

import numpy as np
from scipy.stats import binomtest, fisher_exact

from pipeline.data.arrays import BoolArray


def wilson_interval(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval, within [0, 1], that holds the true share of right answers after `correct` of `n`; n > 0.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    interval = binomtest(int(correct), int(n)).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(correct_a: BoolArray, correct_b: BoolArray) -> float:
    """Return the two-sided p that two models are equally often right; bool [n] each, on the same images in one order.

    Exact: of the images that one alone gets right, either has half. 1.0 if there are none; ValueError if n differs.
    Source: Q. McNemar, Note on the sampling error of the difference between correlated proportions, Psychometrika 12
    (1947), with the binomial distribution in place of its approximation by χ².
    """
    a, b = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    if a.shape != b.shape:
        raise ValueError(f"answers to the same images are as many: {a.shape} and {b.shape}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def fisher(correct_a: BoolArray, correct_b: BoolArray) -> float:
    """Return the two-sided p that two models are equally often right; bool [n] and [m], on different images.

    Source: R. A. Fisher, On the interpretation of χ² from contingency tables, Journal of the RSS 85 (1922).
    """
    table = [[int(correct.sum()), int((~correct).sum())] for correct in (correct_a, correct_b)]
    return float(fisher_exact(table).pvalue)
