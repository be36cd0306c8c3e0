import numpy as np
import pytest

from pipeline.cli import UserError
from pipeline.data.splits import count_classes, draw_validation_mask

LABELS = np.arange(600, dtype=np.uint8) % 10


def test_classes_are_counted():
    assert count_classes(LABELS, LABELS[:10]) == 10
    assert count_classes(np.array([0, 1, 0, 1], np.uint8), np.array([1, 0], np.uint8)) == 2


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (LABELS[:0], LABELS, "no images"),
        (LABELS, LABELS[:0], "no images"),
        (np.zeros(600, np.uint8), np.zeros(10, np.uint8), "two classes"),
        (np.eye(600, dtype=np.uint8)[0], np.array([0, 1], np.uint8), "two training images of each"),
        (np.full(600, 9, np.uint8), LABELS, r"training labels should be 0 … 9.*\[0, 1, 2, 3, 4, 5, 6, 7, 8\]"),
        (LABELS, np.full(100, 10, np.uint8), "test labels should be 0 … 9"),
        (LABELS, LABELS[:9], r"test labels.*\[9\]"),
    ],
)
def test_labels_that_leave_gaps_are_refused(train, test, message):
    with pytest.raises(UserError, match=message):
        count_classes(train, test)


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
    with pytest.raises(UserError, match="validation_images: 9 images can't hold each of 10 classes"):
        draw_validation_mask(LABELS, 9, 0)
