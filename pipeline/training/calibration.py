"""The images that the 8-bit file is fitted to."""

import numpy as np

from pipeline.data.arrays import FloatArray
from pipeline.data.pixels import denormalise

CALIBRATION_IMAGES = 300  # of 100, 300 and 1,000, none changes cnn_fast on the validation images; each takes time


def draw_calibration_pixels(images: FloatArray, seed: int, number: int = CALIBRATION_IMAGES) -> FloatArray:
    """Return at most `number` of the training images [n, 28, 28, 1], drawn by the seed: float32 [m, 28, 28], 0…255."""
    chosen = np.random.default_rng(seed).choice(len(images), min(number, len(images)), replace=False)
    return denormalise(images[np.sort(chosen)])
