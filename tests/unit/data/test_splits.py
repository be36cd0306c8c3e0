import numpy as np
import pytest

from pipeline.cli import UserError
from pipeline.data.splits import (
    TEST,
    TRAIN,
    VAL,
    draw_splits,
    draw_units,
    draw_validation_mask,
    join_units,
    number_units,
    require_all_classes,
    require_classes,
    share_by_class,
)

LABELS = np.arange(600, dtype=np.uint16) % 10
NAMES = tuple("abcdefghij")
HASHES = np.random.default_rng(0).permutation(600).astype(np.uint64)


@pytest.mark.parametrize(
    ("train", "test", "names", "message"),
    [
        ([0, 0], [0], "a", "there is one class, a"),
        ([0, 0, 1, 1], [0], "ab", "the test images have none of b"),
        ([0, 0], [0, 1], "ab", "the training images have none of b"),
        ([0, 0, 1], [0, 1], "ab", "2 images or more, to train and to validate; b has 1"),
        ([0, 0, 0, 1, 1], [], "ab", "3 images or more, to train, to validate and to test; b has 2"),
        ([2, 2, 2], [2], "abc", "the training images have none of a, b"),
    ],
)
def test_classes_that_cannot_be_learnt_are_refused(train, test, names, message):
    is_test = np.repeat([False, True], [len(train), len(test)])
    with pytest.raises(UserError, match=message):
        require_classes(np.array([*train, *test], np.uint16), is_test, tuple(names))


def test_classes_of_some_images_each_will_do():
    require_classes(LABELS, np.arange(600) < 20, NAMES)
    require_classes(LABELS, np.zeros(600, bool), NAMES)


def test_the_split_is_stratified_and_follows_the_seed():
    first, again, other = (draw_validation_mask(LABELS, 60, seed) for seed in (0, 0, 1))
    assert first.dtype == bool
    assert np.bincount(LABELS[first]).tolist() == [6] * 10
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_small_data_set_gives_a_sixth_at_most():
    assert draw_validation_mask(LABELS, 5000, 0).sum() == 100
    assert draw_validation_mask(LABELS, 99, 0).sum() == 99


def test_every_class_has_an_image_that_validates():
    assert draw_validation_mask(LABELS, 10, 0).sum() == 10
    with pytest.raises(
        UserError, match=r"validation_images: 9 images .* 10 classes;.* a sixth of the images outside the test set"
    ):
        draw_validation_mask(LABELS, 9, 0)


def draw(labels: np.ndarray = LABELS, units: np.ndarray | None = None, seed: int = 0, **changes: object) -> np.ndarray:
    """Draw a test set of a fifth and 60 validation images, where each image is its own group."""
    count = len(labels)
    given = {"is_test": np.zeros(count, bool), "hashes": HASHES[:count], "test_share": 0.2} | changes
    units = np.arange(count) if units is None else units
    return draw_splits(labels, units=units, validation_images=60, seed=seed, **given)


def test_test_and_validation_images_are_drawn_in_proportion():
    split_of = draw()
    assert [np.bincount(LABELS[split_of == split]).tolist() for split in (TRAIN, VAL, TEST)] == [
        [42] * 10, [6] * 10, [12] * 10,
    ]  # fmt: skip


def test_the_seed_changes_what_validates_and_not_what_tests():
    one, other = draw(seed=0), draw(seed=1)
    np.testing.assert_array_equal(one == TEST, other == TEST)
    assert ((one == VAL) != (other == VAL)).any()


def test_images_that_are_added_leave_most_of_the_test_set():
    more = np.append(LABELS, LABELS[:60])
    hashes = np.append(HASHES, np.linspace(1, 599, 60).astype(np.uint64))
    before, after = draw() == TEST, draw(more, hashes=hashes)[:600] == TEST
    assert (before & after).sum() >= 0.9 * before.sum()


def test_a_published_test_set_stays():
    is_test = np.arange(600) < 50
    np.testing.assert_array_equal(draw(is_test=is_test) == TEST, is_test)


@pytest.mark.parametrize("size", [3, 20, 60])
def test_what_belongs_together_stays_together(size):
    units = np.random.default_rng(0).permutation(np.arange(600) // size)
    split_of = draw(units=units)
    for unit in range(600 // size):
        assert len(set(split_of[units == unit])) == 1
    require_all_classes(LABELS, split_of, NAMES)
    assert 60 <= (split_of == TEST).sum() <= 180


def test_a_class_whose_images_are_all_together_is_an_error():
    units = np.where(LABELS == 3, 0, np.arange(600))
    split_of = draw(units=np.unique(units, return_inverse=True)[1])
    with pytest.raises(UserError, match=r"val would have none of d: the groups of such a class .* group_separator"):
        require_all_classes(LABELS, split_of, NAMES)


def test_a_class_of_few_images_has_one_on_each_side():
    labels = np.array([0] * 500 + [1] * 3, np.uint16)
    assert np.bincount(labels[draw(labels) == TEST]).tolist() == [100, 1]
    assert np.bincount(labels[draw_units(labels, np.arange(503), np.arange(503), 50)]).tolist() == [49, 1]


@pytest.mark.parametrize("wanted", [10, 60, 61, 599])
def test_shares_make_up_what_is_wanted(wanted):
    counts = np.bincount(LABELS)
    assert sum(share_by_class(counts, wanted)) == wanted
    assert share_by_class(np.array([1000, 1]), 10) == [9, 1]


def test_images_of_a_group_have_one_number_and_others_their_own():
    assert number_units(["anna", "", "ben", "anna", ""]).tolist() == [0, 1, 2, 0, 3]


def test_equal_images_join_their_groups():
    joined = join_units(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 2, 3]))
    assert joined.tolist() == [0, 0, 0, 0, 1]
