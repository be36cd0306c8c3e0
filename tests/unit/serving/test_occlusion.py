"""The effect of covering a part of an image, with a network that looks at one corner."""

import numpy as np
import pytest

from serving.occlusion import POSITIONS, cover, measure_losses

COUNT = POSITIONS**2


def corner(images: np.ndarray) -> np.ndarray:
    """The share of light in the upper left corner, and one minus this share."""
    light = images[:, :4, :4].reshape(len(images), -1).mean(axis=1) / 255
    return np.stack([light, 1 - light], axis=1)


@pytest.mark.parametrize(("shape", "is_ink"), [((28, 28), True), ((12, 20, 3), False)])
def test_what_is_looked_at_is_lost_under_the_cover(shape, is_ink):
    pixels = np.zeros(shape, np.uint8)
    pixels[:4, :4] = 200
    losses = measure_losses(corner, pixels, is_ink, max_images=100)
    assert losses.shape == (POSITIONS, POSITIONS, 2)
    assert losses[0, 0, 0] > 0.5
    assert losses[0, 0, 1] == pytest.approx(-losses[0, 0, 0])
    assert not losses[2:, 2:].any()


def test_the_cover_reaches_each_pixel_and_leaves_the_image_itself():
    pixels = np.full((28, 28), 200, np.uint8)
    covered = cover(pixels, is_ink=True)
    assert covered.shape == (COUNT, 28, 28)
    assert (covered == 0).any(axis=0).all()
    assert (pixels == 200).all()


def test_pictures_are_covered_with_their_mean_colour():
    pixels = np.zeros((12, 20, 3), np.uint8)
    pixels[:, 10:] = (200, 100, 0)
    assert (cover(pixels, is_ink=False)[0, 0, 0] == (100, 50, 0)).all()


def test_no_more_images_are_given_at_once_than_a_model_takes():
    given = []

    def answer(images: np.ndarray) -> np.ndarray:
        given.append(len(images))
        return corner(images)

    many = measure_losses(answer, np.full((28, 28), 9, np.uint8), True, 8)
    assert given == [8] * (COUNT // 8) + [(COUNT + 1) % 8]
    assert (many == measure_losses(corner, np.full((28, 28), 9, np.uint8), True, 100)).all()
