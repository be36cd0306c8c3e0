import numpy as np

from pipeline.training.calibration import CALIBRATION_IMAGES, draw_calibration_pixels


def draw(count: int, seed: int, **options: int) -> list[int]:
    """Return the numbers of the images that are drawn, from `count` images whose first pixel is their number."""
    images = np.zeros((count, 28, 28, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(count)
    return draw_calibration_pixels(images, seed, **options)[:, 0, 0].astype(int).tolist()


def test_of_few_images_all_are_drawn_in_their_order():
    assert draw(95, seed=0) == list(range(95))


def test_no_image_is_drawn_twice():
    drawn = draw(200, seed=0, number=10)
    assert len(set(drawn)) == 10
    assert drawn == sorted(drawn)


def test_the_seed_decides():
    assert draw(200, seed=0, number=10) == draw(200, seed=0, number=10) != draw(200, seed=1, number=10)


def test_raw_pixels_are_returned():
    pixels = draw_calibration_pixels(np.full((400, 8, 6, 3), 255, np.uint8), seed=0)
    assert pixels.shape == (CALIBRATION_IMAGES, 8, 6, 3)
    assert pixels.dtype == np.float32
    assert (pixels == 255).all()
