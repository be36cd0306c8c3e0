"""Raw pixels and what a network sees of them: the one place that knows the scale."""

import numpy as np

SCALE = np.float32(1 / 255)


def normalise(pixels: np.ndarray) -> np.ndarray:
    """Pixels 0…255, uint8 [n, 28, 28], to float32 [n, 28, 28, 1] in [0, 1].

    The exported graphs multiply by the same float32, so both give the same bits.
    """
    return pixels[..., np.newaxis].astype(np.float32) * SCALE


def denormalise(images: np.ndarray) -> np.ndarray:
    """The exact inverse: float32 [n, 28, 28, 1] in [0, 1] to float32 [n, 28, 28], whole numbers 0…255."""
    return np.rint(images[..., 0] / SCALE)
