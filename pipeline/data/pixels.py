"""Convert stored bytes to a network's inputs: the only module that knows the pixels' scale and the labels' encoding."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.arrays import FloatArray, UInt8Array

SCALE = np.float32(1 / 255)


def normalise(pixels: UInt8Array) -> FloatArray:
    """Turn stored pixels 0…255, uint8 of any shape, into float32 in [0, 1].

    Training and the exported graphs multiply by the same float32, so both give the same bits.
    """
    scaled: FloatArray = pixels.astype(np.float32) * SCALE
    return scaled


def encode_one_hot(labels: NDArray[Any], classes: int) -> FloatArray:
    """Turn class numbers [n] into float32 [n, classes], 1 at the class and 0 elsewhere."""
    encoded: FloatArray = (labels[:, np.newaxis] == np.arange(classes)).astype(np.float32)
    return encoded


def as_raw(pixels: UInt8Array) -> UInt8Array:
    """Return stored pixels [n, height, width, channels] as published models take them: grey ones lack the last axis."""
    return pixels.reshape(len(pixels), *raw_shape(pixels.shape[1:]))


def raw_shape(image_shape: Sequence[int]) -> tuple[int, ...]:
    """Return a raw image's shape from its stored (height, width, channels): a grey image has no axis for channels."""
    height, width, channels = image_shape
    return (height, width) if channels == 1 else (height, width, channels)
