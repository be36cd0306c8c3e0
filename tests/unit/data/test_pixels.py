import numpy as np

from pipeline.data.pixels import denormalise, normalise


def test_every_pixel_value_comes_back_exactly():
    pixels = np.arange(256, dtype=np.uint8).repeat(784)[: 28 * 28 * 256].reshape(256, 28, 28)
    images = normalise(pixels)
    assert images.shape == (256, 28, 28, 1)
    assert images.dtype == np.float32
    assert (images.min(), images.max()) == (0, 1)
    np.testing.assert_array_equal(denormalise(images), pixels)
