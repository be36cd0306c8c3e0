import numpy as np
import pytest

from pipeline.evaluation.gallery import find_extremes, overlay


@pytest.mark.parametrize("shape", [(28, 14), (28, 14, 3)])
def test_the_overlay_is_blue_for_and_orange_against(shape):
    losses = np.array([[1.0, 0.0], [0.0, -0.5]], np.float32)
    drawn = overlay(np.full(shape, 100, np.uint8), losses)
    assert drawn.shape == (28, 14, 3)
    (red, _, blue), (other_red, _, other_blue) = drawn[0, 0].astype(int), drawn[-1, -1].astype(int)
    assert blue - red > 80
    assert 30 < other_red - other_blue < 80  # half as strong


def test_an_image_of_which_no_part_matters_is_grey():
    drawn = overlay(np.full((8, 8), 100, np.uint8), np.zeros((7, 7), np.float32))
    np.testing.assert_array_equal(drawn, 50)


def test_each_class_has_its_surest_and_its_least_sure_right_answer():
    labels = np.array([0, 0, 0, 1, 1, 2])
    confidence = np.array([0.9, 0.5, 0.99, 0.4, 0.6, 0.9])
    is_right = np.array([True, True, False, True, True, False])
    assert find_extremes(labels, confidence, is_right) == [(0, 0, 1), (1, 4, 3)]
