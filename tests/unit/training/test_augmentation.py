import numpy as np
import tensorflow as tf

from pipeline.config.model import Augmentation
from pipeline.training.augmentation import augment


def dots(count: int) -> np.ndarray:
    """Images with one bright pixel, right of and above the centre."""
    images = np.zeros((count, 28, 28, 1), np.float32)
    images[:, 10, 17] = 1
    return images


def move(images: np.ndarray, seed: tuple[int, int] = (1, 2), **reach) -> np.ndarray:
    return augment(tf.constant(images), tf.constant(seed, tf.int64), Augmentation(**reach)).numpy()


def test_a_translation_moves_whole_pixels_uniformly_within_its_reach():
    images = move(dots(2000), translation=2)
    assert set(np.unique(images)) == {0, 1}
    rows, columns = np.nonzero(images[..., 0])[1:]
    for places, centre in ((rows, 10), (columns, 17)):
        shifts, counts = np.unique(places - centre, return_counts=True)
        assert shifts.tolist() == [-2, -1, 0, 1, 2]
        assert counts.min() > 300  # of 400 expected


def test_a_rotation_keeps_the_distance_from_the_centre():
    rows, columns = centres(move(dots(500), rotation=90))
    distances = np.hypot(rows - 13.5, columns - 13.5)
    np.testing.assert_allclose(distances, np.hypot(3.5, 3.5), atol=0.3)
    angles = np.degrees(np.arctan2(13.5 - rows, columns - 13.5)) - 45
    assert angles.min() < -80
    assert angles.max() > 80


def test_a_zoom_keeps_the_direction_from_the_centre():
    rows, columns = centres(move(dots(500), zoom=0.5))
    np.testing.assert_allclose(13.5 - rows, columns - 13.5, atol=0.3)
    assert (columns - 13.5).min() < 3.5 * 0.6
    assert (columns - 13.5).max() > 3.5 * 1.4


def test_the_seed_decides():
    first, again, other = (move(dots(50), seed, translation=2, rotation=10) for seed in ((1, 2), (1, 2), (3, 4)))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def centres(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The centre of mass of each image that still has its dot: rows and columns."""
    grey = images[..., 0].astype(np.float64)
    mass = grey.sum(axis=(1, 2))
    grey, mass = grey[mass > 0.1], mass[mass > 0.1]
    return (grey.sum(axis=2) @ np.arange(28)) / mass, (grey.sum(axis=1) @ np.arange(28)) / mass


def test_what_comes_in_from_outside_is_black():
    images = move(np.ones((200, 28, 28, 1), np.float32), translation=2)
    shifted = images[images.min(axis=(1, 2, 3)) == 0]
    assert len(shifted) > 150
    assert (shifted[:, 2:-2, 2:-2] == 1).all()


def test_without_reach_nothing_moves():
    np.testing.assert_array_equal(move(dots(5)), dots(5))
