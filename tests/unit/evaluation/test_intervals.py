import numpy as np
import pytest
from scipy.stats import bootstrap

from pipeline.evaluation import intervals
from pipeline.evaluation.intervals import bootstrap_groups
from pipeline.evaluation.significance import wilson_interval

GROUPS = np.repeat(np.arange(60), np.random.default_rng(0).integers(5, 60, 60))
IS_RIGHT = np.random.default_rng(1).random(len(GROUPS)) < np.random.default_rng(2).uniform(0.7, 1, 60)[GROUPS]


def test_the_interval_is_that_of_scipys_bootstrap_over_groups():
    right, images = np.bincount(GROUPS, IS_RIGHT), np.bincount(GROUPS)
    expected = bootstrap(
        (right, images), lambda right, images, axis: right.sum(axis=axis) / images.sum(axis=axis), paired=True,
        vectorized=True, n_resamples=20_000, method="percentile", rng=np.random.default_rng(3),
    ).confidence_interval  # fmt: skip
    (found,) = bootstrap_groups([(IS_RIGHT, GROUPS)], rounds=20_000)
    assert found == pytest.approx(expected, abs=0.003)


def test_images_that_are_each_a_group_have_nearly_wilsons_interval():
    is_right = np.arange(500) >= 75
    (found,) = bootstrap_groups([(is_right, np.arange(500))])
    assert found == pytest.approx(wilson_interval(425, 500), abs=0.005)


def test_groups_that_are_right_or_wrong_as_a_whole_count_as_one_image_each():
    is_right, groups = np.repeat(np.arange(200) >= 30, 10), np.repeat(np.arange(200), 10)
    (found,) = bootstrap_groups([(is_right, groups)])
    assert found == pytest.approx(wilson_interval(170, 200), abs=0.01)
    assert found[1] - found[0] > 2.5 * np.diff(wilson_interval(1700, 2000))[0]


def test_each_part_has_the_interval_of_its_own_images():
    half = np.arange(len(GROUPS)) < 700
    whole, part = bootstrap_groups([(IS_RIGHT, GROUPS), (IS_RIGHT[half], GROUPS[half])])
    assert whole[0] < IS_RIGHT.mean() < whole[1]
    assert part[0] < IS_RIGHT[half].mean() < part[1]
    assert part[1] - part[0] > whole[1] - whole[0]


def test_the_same_answers_give_the_same_interval_in_whatever_pieces_it_is_computed(monkeypatch):
    before = bootstrap_groups([(IS_RIGHT, GROUPS)])
    monkeypatch.setattr(intervals, "DRAWN_AT_ONCE", 7 * 60)
    assert bootstrap_groups([(IS_RIGHT, GROUPS)]) == before
    assert bootstrap_groups([(IS_RIGHT, GROUPS + 1000)]) == before  # group numbers are only names


@pytest.mark.parametrize(
    ("is_right", "groups"),
    [([True, False], [4, 4]), ([True, True], [4, 5]), ([False, False], [4, 5]), ([], [])],
    ids=["one group", "all right", "all wrong", "no image"],
)
def test_what_tells_nothing_of_other_groups_has_no_interval(is_right, groups):
    part = np.array(is_right, bool), np.array(groups, np.int64)
    assert bootstrap_groups([(IS_RIGHT, GROUPS), part])[1] is None
    assert bootstrap_groups([part]) == [None]
