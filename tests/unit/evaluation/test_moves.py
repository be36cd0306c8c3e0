import numpy as np
import pytest

from pipeline.evaluation.moves import resize, shift, turn

GREY = np.arange(2 * 5 * 7, dtype=np.uint8).reshape(2, 5, 7)
COLOUR = np.arange(2 * 5 * 7 * 3, dtype=np.uint8).reshape(2, 5, 7, 3)


@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
def test_a_shift_moves_pixels_and_repeats_the_edge(images):
    moved = shift(images, 1, -2)
    assert moved.shape == images.shape
    np.testing.assert_array_equal(moved[:, 1:, :-2], images[:, :-1, 2:])
    np.testing.assert_array_equal(moved[:, 0, :-2], images[:, 0, 2:])
    np.testing.assert_array_equal(moved[:, 1:, -1], images[:, :-1, -1])


def test_each_image_has_its_own_shift_and_0_may_come_in():
    moved = shift(GREY, [0, 2], [1, 0], is_repeated=False)
    np.testing.assert_array_equal(moved[0, :, 1:], GREY[0, :, :-1])
    assert not moved[0, :, 0].any()
    np.testing.assert_array_equal(moved[1, 2:], GREY[1, :-2])
    assert not moved[1, :2].any()


@pytest.mark.parametrize("images", [GREY[:, :, :5], COLOUR[:, :, :5]], ids=["grey", "colour"])
def test_a_quarter_turn_to_the_left_is_numpys(images):
    np.testing.assert_array_equal(turn(images, 90), np.rot90(images, axes=(1, 2)))


def test_no_turn_and_no_resizing_change_nothing():
    np.testing.assert_array_equal(turn(COLOUR, 0), COLOUR)
    np.testing.assert_array_equal(resize(COLOUR, 1), COLOUR)


def test_half_the_size_is_around_the_centre():
    images = np.zeros((1, 9, 9))
    images[0, 2:7, 1:8] = 1
    smaller = resize(images, 0.5)
    assert smaller[0, 4].tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert smaller[0, :, 4].tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0]
