import numpy as np

from pipeline.evaluation.occlusion import find_extremes, measure_support, overlay


def answer_by_a_corner(images: np.ndarray) -> np.ndarray:
    """A model that says 1 as surely as the upper left corner is bright."""
    bright = images[:, :4, :4].reshape(len(images), -1).mean(axis=1) / 255
    return np.stack([1 - bright, bright], axis=1).astype(np.float32)


def test_what_the_answer_depends_on_supports_it():
    image = np.zeros((28, 28), np.uint8)
    image[:4, :4], image[20:24, 20:24] = 200, 200
    support = measure_support(answer_by_a_corner, image, 1)
    assert support.shape == (28, 28)
    assert support[:2, :2].min() > 0.2
    assert not support[8:, 8:].any()
    against = measure_support(answer_by_a_corner, image, 0)
    np.testing.assert_allclose(against, -support, atol=1e-6)


def test_colour_and_oblong_images_are_covered_to_their_edges():
    image = np.full((10, 31, 3), 90, np.uint8)
    image[-1, -1] = 255
    support = measure_support(lambda images: images[:, -1, -1, :2] / np.float32(255), image, 0)
    assert support[-1, -1] > 0.5
    assert support[0, 0] == 0


def test_the_overlay_is_blue_for_and_orange_against():
    support = np.array([[1.0, 0.0, -0.5]], np.float32)
    blue, grey, orange = overlay(np.full((1, 3), 100, np.uint8), support)[0]
    assert blue[2] > blue[0]
    assert orange[0] > orange[2]
    assert len({*grey.tolist()}) == 1


def test_each_class_has_its_surest_and_its_least_sure_right_answer():
    labels = np.array([0, 0, 0, 1, 1, 2])
    confidence = np.array([0.9, 0.5, 0.99, 0.4, 0.6, 0.9])
    is_right = np.array([True, True, False, True, True, False])
    assert find_extremes(labels, confidence, is_right) == [(0, 0, 1), (1, 4, 3)]
