import numpy as np
import pytest
from scipy.stats import multinomial

from pipeline.evaluation.significance import fisher, holm, mcnemar, newcombe_bound, tango_bound, wilson_interval


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    # R. G. Newcombe, Two-sided confidence intervals for the single proportion, Stat. Med. 17 (1998), table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_of_the_textbook(correct, n, low, high):
    assert wilson_interval(correct, n) == pytest.approx((low, high), abs=5e-5)
    mirrored = wilson_interval(n - correct, n)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_wilson_interval_stays_within_the_possible_and_widens_with_confidence():
    assert wilson_interval(0, 7)[0] == 0
    assert wilson_interval(7, 7)[1] == 1
    narrow, wide = wilson_interval(90, 100, 0.8), wilson_interval(90, 100, 0.99)
    assert wide[0] < narrow[0] < 0.9 < narrow[1] < wide[1]


def answers(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = (both, only_a, only_b, neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (9, 2, 134 / 2048),  # the example of M. P. Fay's R package exact2x2: 0.06543
        (2, 9, 134 / 2048),
        (0, 5, 2 / 32),
        (1, 9, 22 / 1024),
        (4, 4, 1.0),
        (0, 0, 1.0),
    ],
)
def test_mcnemar_of_the_textbook(only_a, only_b, p):
    assert mcnemar(*answers(21, only_a, only_b, 12)) == pytest.approx(p)


def test_mcnemar_asks_whether_the_first_is_better():
    assert mcnemar(*answers(21, 9, 2, 12), "greater") == pytest.approx(67 / 2048)
    assert mcnemar(*answers(21, 2, 9, 12), "greater") == pytest.approx(1 - 12 / 2048)
    assert mcnemar(*answers(21, 0, 0, 12), "greater") == 1


def test_mcnemar_looks_only_at_images_that_one_model_alone_gets_right():
    assert mcnemar(*answers(0, 9, 2, 0)) == mcnemar(*answers(9000, 9, 2, 500))


def test_answers_to_different_numbers_of_images_are_refused():
    with pytest.raises(ValueError, match="as many"):
        mcnemar(np.ones(3, bool), np.ones(1, bool))


def test_fisher_of_the_textbook():
    """R. A. Fisher's lady tasting tea: 3 of 4 and 1 of 4."""
    a, b = np.array([True, True, True, False]), np.array([False, False, False, True])
    assert fisher(a, b) == pytest.approx(34 / 70)
    assert fisher(a, a) == 1
    assert (fisher(a, b, "greater"), fisher(b, a, "greater")) == pytest.approx((17 / 70, 69 / 70))


def test_fisher_takes_different_numbers_of_images():
    assert fisher(np.ones(30, bool), np.zeros(3, bool)) == pytest.approx(1 / 5456)  # 1 / (33 choose 3)


def test_tango_bound_of_the_textbook():
    """The interval in M. W. Fagerland et al., Statistical analysis of contingency tables (2017), chapter 8."""
    before, after = answers(1, 1, 7, 12)
    assert tango_bound(before, after, 0.025) == pytest.approx(0.517, abs=5e-4)
    assert -tango_bound(after, before, 0.025) == pytest.approx(0.026, abs=5e-4)


@pytest.mark.parametrize("n", [1, 24, 500])
def test_tango_bound_where_the_two_never_differ_and_where_they_always_do(n):
    z2 = 2.3263**2
    assert tango_bound(*answers(n, 0, 0, 0), 0.01) == pytest.approx(z2 / (n + z2), abs=1e-4)
    assert tango_bound(*answers(0, 0, n, 0), 0.01) == 1
    assert -1 < tango_bound(*answers(0, n, 0, 0), 0.01) < 1


@pytest.mark.parametrize(("n", "only_a", "only_b"), [(24, 0.01, 0.15), (24, 0.0, 0.2), (50, 0.02, 0.08)])
def test_a_difference_exceeds_tango_bound_as_rarely_as_it_says(n, only_a, only_b):
    """The exact probability that the bound is too low: a sum over all tables."""
    exceeded = 0.0
    for lost in range(n + 1):
        for gained in range(n + 1 - lost):
            p = multinomial.pmf([lost, gained, n - lost - gained], n, [only_b, only_a, 1 - only_a - only_b])
            if p > 1e-6:
                exceeded += p * (tango_bound(*answers(n - lost - gained, gained, lost, 0), 0.01) < only_b - only_a)
    assert exceeded <= 0.01


def test_newcombe_bound_of_the_textbook():
    """R. G. Newcombe (1998), table II, method 10: 56 of 70 minus 48 of 80 is between 0.0524 and 0.3339."""
    more, less = answers(56, 0, 0, 14)[0], answers(48, 0, 0, 32)[0]
    assert newcombe_bound(less, more, 0.025) == pytest.approx(0.3339, abs=5e-5)
    assert -newcombe_bound(more, less, 0.025) == pytest.approx(0.0524, abs=5e-5)


def test_holm_multiplies_the_smallest_by_all_the_next_by_one_less_and_keeps_their_order():
    assert holm([0.04, 0.01, 0.03, 0.9]) == pytest.approx([0.09, 0.04, 0.09, 0.9])
    assert holm([0.3, 0.6]) == pytest.approx([0.6, 0.6])
    assert holm([0.7, 0.8]) == [1, 1]
    assert holm([]) == []
