import numpy as np
import pytest

from pipeline.evaluation.significance import fisher, mcnemar, wilson_interval


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


def test_fisher_takes_different_numbers_of_images():
    assert fisher(np.ones(30, bool), np.zeros(3, bool)) == pytest.approx(1 / 5456)  # one of 33 over 3
