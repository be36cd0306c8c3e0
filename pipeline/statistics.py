"""Is one model better than another on the same images? Arrays in, numbers out."""

import numpy as np


def mcnemar(correct_a: np.ndarray, correct_b: np.ndarray) -> float:
    """Two-sided exact p of McNemar's test: booleans [n], whether each of two models is right on the same n images.

    Source: Q. McNemar, Psychometrika 12 (1947), with the exact binomial distribution of the discordant pairs.
    """
    from scipy.stats import binomtest

    only_a = int((correct_a & ~correct_b).sum())
    only_b = int((correct_b & ~correct_a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def fisher(correct_a: np.ndarray, correct_b: np.ndarray) -> float:
    """Two-sided p of Fisher's exact test: booleans [n] and [m], whether two models are right, on different images.

    Source: R. A. Fisher, Journal of the Royal Statistical Society 85 (1922).
    """
    from scipy.stats import fisher_exact

    table = [[int(correct.sum()), int((~correct).sum())] for correct in (correct_a, correct_b)]
    return float(fisher_exact(table).pvalue)
