"""How much a measured accuracy can be trusted, and whether two of them differ: counts and arrays in, numbers out."""

from statistics import NormalDist
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binomtest, fisher_exact

from pipeline.data.arrays import BoolArray

Alternative = Literal["two-sided", "greater"]
"""The alternative hypothesis: that the two differ, or that the first one is better."""


def wilson_interval(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the confidence interval, within [0, 1], of the share of right answers, given `correct` of `n`; n > 0.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    interval = binomtest(int(correct), int(n)).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(correct_a: BoolArray, correct_b: BoolArray, alternative: Alternative = "two-sided") -> float:
    """Return the p-value of two models being right equally often; bool [n] each, on the same images in one order.

    The test is exact: each model is expected to have half of the images that only one of them gets right. Return 1.0
    if there are none; raise ValueError if n differs.
    Source: Q. McNemar, Note on the sampling error of the difference between correlated proportions, Psychometrika 12
    (1947), with the binomial distribution in place of its approximation by χ².
    """
    only_a, only_b = count_alone(correct_a, correct_b)
    total = only_a + only_b
    return float(binomtest(only_a, total, alternative=alternative).pvalue) if total else 1.0


def fisher(correct_a: BoolArray, correct_b: BoolArray, alternative: Alternative = "two-sided") -> float:
    """Return the p-value of two models being right equally often; bool [n] and [m], on different images.

    Source: R. A. Fisher, On the interpretation of χ² from contingency tables, Journal of the RSS 85 (1922).
    """
    table = [[int(correct.sum()), int((~correct).sum())] for correct in (correct_a, correct_b)]
    return float(fisher_exact(table, alternative=alternative).pvalue)


def holm(p_values: list[float]) -> list[float]:
    """Return p-values that are corrected for multiple comparisons, in the same order.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian J. of Statistics 6 (1979).
    """
    corrected, largest = list(p_values), 0.0
    for rank, place in enumerate(np.argsort(p_values).tolist()):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


def tango_bound(correct_a: BoolArray, correct_b: BoolArray, alpha: float) -> float:
    """Return an upper bound on B's accuracy minus A's, in [-1, 1], at confidence 1 - alpha; on the same n > 0 images.

    It is the upper end of the score interval: the difference at which the score statistic is the quantile of 1 - alpha.
    Source: T. Tango, Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design, Statistics in Medicine 17 (1998).
    """
    only_a, only_b = count_alone(correct_a, correct_b)
    n, seen, z = len(correct_a), only_b - only_a, NormalDist().inv_cdf(1 - alpha)

    def excess(difference: float) -> float:
        """Return by how much more than z standard errors `difference` is above the observed one, times n."""
        b = (2 * n - seen) * difference - (only_a + only_b)
        c = -only_a * difference * (1 - difference)
        share_of_a = (np.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)  # the most likely one given `difference`
        variance = max(n * (2 * share_of_a + difference * (1 - difference)), 0.0)
        return float(n * difference - seen - z * np.sqrt(variance))

    low = seen / n + 1e-9  # at the observed difference itself, both terms can be 0
    return float(brentq(excess, low, 1.0)) if low < 1 else 1.0


def newcombe_bound(correct_a: BoolArray, correct_b: BoolArray, alpha: float) -> float:
    """Return an upper bound on B's accuracy minus A's, in [-1, 1], at confidence 1 - alpha; on different images.

    Source: R. G. Newcombe, Interval estimation for the difference between independent proportions: comparison of eleven
    methods, Statistics in Medicine 17 (1998), method 10, from Wilson's intervals.
    """
    share_a, share_b = float(correct_a.mean()), float(correct_b.mean())
    low_a, _ = wilson_interval(int(correct_a.sum()), len(correct_a), 1 - 2 * alpha)
    _, high_b = wilson_interval(int(correct_b.sum()), len(correct_b), 1 - 2 * alpha)
    return share_b - share_a + float(np.hypot(high_b - share_b, share_a - low_a))


def count_alone(correct_a: BoolArray, correct_b: BoolArray) -> tuple[int, int]:
    """Return how many images A alone gets right, and how many B alone; ValueError if the arrays differ in length."""
    a, b = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    if a.shape != b.shape:
        raise ValueError(f"answers to the same images are as many: {a.shape} and {b.shape}")
    return int((a & ~b).sum()), int((b & ~a).sum())
