"""Choose images that show a model's answers, and mark the parts that support an answer."""

import numpy as np
from PIL import Image

from pipeline.data.arrays import BoolArray, FloatArray, IntArray, UInt8Array

FOR, AGAINST = (60.0, 140.0, 255.0), (255.0, 140.0, 40.0)  # blue and orange


def overlay(image: UInt8Array, losses: FloatArray) -> UInt8Array:
    """Return the image in grey, blue where it supports the answer, orange where it contradicts, [height, width, 3].

    `losses`, [rows, columns] of any size, is how much the answer loses if a part is covered (`serving.occlusion`); the
    loss with the largest absolute value gets the strongest colour.
    """
    grey = image if image.ndim == 2 else image.mean(axis=2)
    share = losses / max(float(np.abs(losses).max()), 1e-6)
    wide = Image.fromarray(share.astype(np.float32)).resize(grey.shape[::-1], Image.Resampling.BILINEAR)
    support = np.asarray(wide)[..., np.newaxis]
    mixed = 0.5 * grey[..., np.newaxis] + 0.5 * np.abs(support) * np.where(support > 0, FOR, AGAINST)
    drawn: UInt8Array = mixed.astype(np.uint8)
    return drawn


def find_extremes(labels: IntArray, confidence: FloatArray, is_right: BoolArray) -> list[tuple[int, int, int]]:
    """Return for each class with right answers its number, and the places of the surest and of the least sure one."""
    found = []
    for label in np.unique(labels[is_right]):
        own = np.flatnonzero(is_right & (labels == label))
        found.append((int(label), int(own[confidence[own].argmax()]), int(own[confidence[own].argmin()])))
    return found
