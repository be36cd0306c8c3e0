"""Choose the images with which the 8-bit file is calibrated."""

import numpy as np

from pipeline.data.arrays import FloatArray, UInt8Array
from pipeline.data.pixels import as_raw

CALIBRATION_IMAGES = 300  # 100, 300 or 1,000 give cnn_fast the same validation accuracy; more take longer


def draw_calibration_pixels(images: UInt8Array, seed: int, number: int = CALIBRATION_IMAGES) -> FloatArray:
    """Return at most `number` of the stored images [n, height, width, channels], drawn by the seed.

    They are as published models take them: raw pixels, float32 [m, height, width] or, in colour, [m, height, width, 3].
    """
    chosen = np.random.default_rng(seed).choice(len(images), min(number, len(images)), replace=False)
    return as_raw(images[np.sort(chosen)]).astype(np.float32)
