import numpy as np
import pytest

from pipeline.data.pixels import as_raw, encode_one_hot, normalise


def test_pixels_are_scaled_to_one_by_the_float32_that_the_exported_graphs_multiply_by():
    pixels = np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)
    images = normalise(pixels)
    assert (images.shape, images.dtype) == (pixels.shape, np.float32)
    assert (images.min(), images.max()) == (0, 1)
    np.testing.assert_array_equal(images, pixels * np.float32(1 / 255))


def test_labels_are_one_hot():
    encoded = encode_one_hot(np.array([2, 0], np.uint16), 3)
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded, [[0, 0, 1], [1, 0, 0]])


@pytest.mark.parametrize(("stored", "raw"), [((5, 8, 6, 1), (5, 8, 6)), ((5, 8, 6, 3), (5, 8, 6, 3))])
def test_models_take_grey_images_without_channels(stored, raw):
    assert as_raw(np.zeros(stored, np.uint8)).shape == raw
