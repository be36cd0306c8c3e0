"""Raw pixels and what a network sees of them: the one place that knows the scale."""

import numpy as np

from pipeline.data.arrays import FloatArray, UInt8Array

SCALE = np.float32(1 / 255)


def normalise(pixels: UInt8Array) -> FloatArray:
    """Turn pixels 0…255, uint8 [n, 28, 28], into float32 [n, 28, 28, 1] in [0, 1].

    The exported graphs multiply by the same float32, so both give the same bits.
    """
    return pixels[..., np.newaxis].astype(np.float32) * SCALE


def denormalise(images: FloatArray) -> FloatArray:
    """Return the exact inverse: float32 [n, 28, 28, 1] in [0, 1] to float32 [n, 28, 28], whole numbers 0…255."""
    pixels: FloatArray = np.rint(images[..., 0] / SCALE)
    return pixels
