import numpy as np
import tensorflow as tf

from pipeline.config.model import Augmentation
from pipeline.training.augmentation import augment


def dots(count: int) -> np.ndarray:
    """Images with one bright pixel, above the centre and to the right of it."""
    images = np.zeros((count, 28, 28, 1), np.float32)
    images[:, 10, 17] = 1
    return images


def move(images: np.ndarray, seed: tuple[int, int] = (1, 2), **reach) -> np.ndarray:
    return augment(tf.constant(images), tf.constant(seed, tf.int64), Augmentation(**reach)).numpy()


def test_without_an_option_nothing_is_changed():
    images = np.random.default_rng(0).random((5, 8, 6, 3), np.float32)
    np.testing.assert_array_equal(move(images), images)


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


def pictures(count: int, *values: float) -> np.ndarray:
    """Small colour pictures with noise between two shades."""
    low, high = values or (0.0, 1.0)
    return np.random.default_rng(0).uniform(low, high, (count, 6, 9, 3)).astype(np.float32)


def test_half_of_the_images_are_mirrored_and_keep_their_values():
    images = pictures(400)
    moved = move(images, horizontal_flip=True)
    mirrored = (moved == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((moved == images).all(axis=(1, 2, 3)) ^ mirrored).all()
    assert 150 < mirrored.sum() < 250


def test_a_mirrored_image_is_shifted_too():
    images = move(dots(2000), translation=2, horizontal_flip=True)
    assert set(np.unique(images)) == {0, 1}
    columns, counts = np.unique(np.nonzero(images[..., 0])[2], return_counts=True)
    assert columns.tolist() == [8, 9, 10, 11, 12, 15, 16, 17, 18, 19]
    assert counts.min() > 130  # of 200 expected


def test_what_comes_in_from_outside_may_be_a_mirror_image():
    images = pictures(200)
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), "symmetric")
    for image, moved in zip(padded, move(images, translation=2, reflect=True), strict=True):
        cuts = (image[y : y + 6, x : x + 9] for y in range(5) for x in range(5))
        assert sum(np.array_equal(moved, cut) for cut in cuts) == 1


def test_brightness_multiplies_all_values_of_an_image():
    images = pictures(500, 0.1, 0.5)
    factors = move(images, brightness=0.4) / images
    assert np.ptp(factors, axis=(1, 2, 3)).max() < 1e-5
    assert (0.6 <= factors.min() < 0.62, 1.38 < factors.max() <= 1.401) == (True, True)


def test_contrast_keeps_the_mean_grey_of_an_image():
    images = pictures(500, 0.4, 0.6)
    changed = move(images, contrast=0.4)
    weights = np.array([0.299, 0.587, 0.114])
    means, before = ((some @ weights).mean(axis=(1, 2)) for some in (changed, images))
    np.testing.assert_allclose(means, before, atol=1e-6)
    factors = changed.std(axis=(1, 2, 3)) / images.std(axis=(1, 2, 3))
    assert (0.58 < factors.min() < 0.65, 1.35 < factors.max() < 1.42) == (True, True)


def test_saturation_keeps_each_pixels_grey_and_leaves_grey_images_alone():
    images = pictures(500, 0.4, 0.6)
    changed = move(images, saturation=0.4)
    weights = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(changed @ weights, images @ weights, atol=1e-6)
    factors = np.ptp(changed, axis=3) / np.ptp(images, axis=3)
    assert (0.58 < factors.min() < 0.65, 1.35 < factors.max() < 1.42) == (True, True)
    np.testing.assert_array_equal(move(images[..., :1], saturation=0.4), images[..., :1])


def test_colours_stay_between_black_and_white():
    changed = move(pictures(200), brightness=0.9, contrast=0.9, saturation=0.9)
    assert (changed.min(), changed.max()) == (0, 1)


def test_an_option_changes_nothing_of_what_another_draws():
    images = np.repeat(dots(1), 50, axis=0)
    flipped = move(images, translation=2, horizontal_flip=True)
    rows = np.nonzero(move(images, translation=2)[..., 0])[1]
    np.testing.assert_array_equal(np.nonzero(flipped[..., 0])[1], rows)


def corrupt(images: np.ndarray, **shares) -> tuple[np.ndarray, np.ndarray]:
    """The images after corruption, and which of them changed."""
    changed = move(images, **shares)
    return changed, (changed != images).any(axis=(1, 2, 3))


def test_corruptions_change_their_share_of_the_images_and_stay_within_bounds():
    images = np.random.default_rng(0).random((2000, 12, 10, 3), np.float32)
    for option in ("levels", "noise", "inverted_patch", "blur"):
        changed, which = corrupt(images, **{option: 0.25})
        assert 0.2 < which.mean() < 0.3, option
        assert changed.min() >= 0, option
        assert changed.max() <= 1, option


def test_levels_keep_a_contrast_and_may_swap_black_and_white():
    images = np.zeros((500, 4, 4, 1), np.float32)
    images[:, :2] = 1
    changed, which = corrupt(images, levels=0.99)
    spans = (changed[:, 0, 0, 0] - changed[:, 3, 0, 0])[which]
    assert np.abs(spans).min() >= 0.2499
    assert 0.3 < (spans < 0).mean() < 0.7
    assert all(len(np.unique(image)) == 2 for image in changed[:50])


def test_noise_has_no_direction_and_differs_between_images():
    images = np.full((200, 28, 28, 1), 0.5, np.float32)
    changed, which = corrupt(images, noise=0.99)
    deviations = changed[which].std(axis=(1, 2, 3))
    assert 0.3 < deviations.max() < 0.36
    assert deviations.min() < 0.05
    assert abs(changed.mean() - 0.5) < 0.01


def test_an_inverted_patch_is_a_rectangle_of_half_of_each_side_at_most():
    changed, which = corrupt(np.zeros((300, 20, 30, 1), np.float32), inverted_patch=0.99)
    for image in changed[which][..., 0]:
        rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
        assert len(rows) <= 10
        assert len(columns) <= 15
        assert (image[np.ix_(rows, columns)] == 1).all()
        assert image.sum() == len(rows) * len(columns)
        assert (np.diff(rows) == 1).all()


def test_a_blur_spreads_a_dot_within_two_pixels():
    changed, which = corrupt(dots(200), blur=0.99)
    sums = changed[which].sum(axis=(1, 2, 3))
    np.testing.assert_allclose(sums, 1, atol=1e-4)
    assert changed[which, 10, 17, 0].min() < 0.3
    assert not changed[:, :8].any()
    assert not changed[:, :, 20:].any()
