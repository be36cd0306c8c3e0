"""Measure how much each output depends on each part of an image: by what it loses when the part is covered."""

from collections.abc import Callable

import numpy as np

POSITIONS = 7  # of the cover, down and across
COVER = 5  # longer side of the image, divided by the side of the cover


def measure_losses(
    answer: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, is_ink: bool, max_images: int
) -> np.ndarray:
    """Return what each output loses at each position of the cover, float32 [POSITIONS, POSITIONS, classes].

    `answer` returns the outputs, [n, classes], for at most `max_images` images like `pixels`. The cover is a square
    without ink; for other pictures, a square of their mean colour. The method is that of M. Zeiler and R. Fergus,
    Visualizing and Understanding Convolutional Networks (2014), section 4.2.
    """
    images = np.stack([pixels, *cover(pixels, is_ink)])
    answers = np.concatenate(
        [answer(images[start : start + max_images]) for start in range(0, len(images), max_images)]
    )
    losses: np.ndarray = (answers[0] - answers[1:]).astype(np.float32)
    return losses.reshape(POSITIONS, POSITIONS, -1)


def cover(pixels: np.ndarray, is_ink: bool) -> np.ndarray:
    """Return the image with the cover at each position, row by row: uint8 [POSITIONS², *pixels.shape]."""
    height, width = pixels.shape[:2]
    side = max(1, round(max(height, width) / COVER))
    colour = 0 if is_ink else pixels.mean(axis=(0, 1)).round()
    covered = np.repeat(pixels[np.newaxis], POSITIONS**2, axis=0)
    for place, image in enumerate(covered):
        top, left = (
            round(index * max(0, length - side) / (POSITIONS - 1))
            for index, length in zip(divmod(place, POSITIONS), (height, width), strict=True)
        )
        image[top : top + side, left : left + side] = colour
    return covered
