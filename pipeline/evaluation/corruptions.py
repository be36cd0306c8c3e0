"""The fifteen corruptions of MNIST-C: each takes light ink on dark, float32 [n, 28, 28] in [0, 1], and random numbers.

Source of all definitions and severities: N. Mu and J. Gilmer, MNIST-C: a robustness benchmark for computer vision,
arXiv 1906.02337 (2019), and the program that they published with it. Lengths are in pixels of 28×28 images, so other
sizes are not corrupted. The random numbers are our own: the images differ from the published ones as two draws do.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from pipeline.data.arrays import FloatArray, IntArray, UInt8Array
from pipeline.evaluation.drawings import SIDE, draw_clouds, draw_lines, draw_zigzags
from pipeline.evaluation.edges import find_edges
from pipeline.evaluation.moves import shift, transform

CLOUDS = 64  # drawn, and used for the images in turn: one per image would take longer than all the rest


def corrupt(name: str, images: UInt8Array, random: Generator) -> UInt8Array:
    """Return the images, uint8 [n, 28, 28], under the corruption `name`."""
    changed = CORRUPTIONS[name]((images / 255).astype(np.float32), random)
    return np.rint(255 * np.clip(changed, 0, 1)).astype(np.uint8)


def add_shot_noise(images: FloatArray, random: Generator) -> FloatArray:
    """Draw each pixel as a number of photons; three photons are full light."""
    return (random.poisson(3 * images) / 3).astype(np.float32)


def add_impulse_noise(images: FloatArray, random: Generator) -> FloatArray:
    """Replace 17 % of the pixels, one half by black, the other by white."""
    drawn = random.random(images.shape, np.float32)
    return np.where(drawn < 0.17, drawn < 0.17 / 2, images).astype(np.float32)


def blur_as_glass(images: FloatArray, random: Generator) -> FloatArray:
    """Blur; twice, swap about half of the pixels with the one above, to the left, or both; blur again."""
    pixels = _blur(images, 0.7).reshape(len(images), -1).T.copy()  # a row per pixel, so that all images are one vector
    every = np.arange(len(images))
    for _ in range(2):
        for row in range(SIDE - 1, 1, -1):
            is_swapped, up, left = random.integers(0, 2, (3, SIDE, len(images)), np.uint8).astype(bool)
            others = (up * SIDE + left) * is_swapped
            for column in range(SIDE - 1, 1, -1):
                place = row * SIDE + column
                other = place - others[column]
                held = pixels[place].copy()
                pixels[place] = pixels[other, every]
                pixels[other, every] = held
    return _blur(pixels.T.reshape(images.shape), 0.7)


def blur_by_motion(images: FloatArray, random: Generator) -> FloatArray:
    """Blur each image to one side, within 45° of the row, by half a Gaussian of deviation 3 that is 20 pixels long.

    It does as ImageMagick, with which the published images were made: whole pixels, and the edge is repeated.
    """
    angles = np.radians(random.uniform(-45, 45, len(images)))
    steps = np.arange(21)
    weights = np.exp(-(steps**2) / (2 * 3**2))
    blurred = np.zeros_like(images)
    for step, weight in zip(steps, weights / weights.sum(), strict=True):
        down, right = (np.ceil(step * part - 0.5).astype(int) for part in (np.sin(angles), np.cos(angles)))
        blurred += np.float32(weight) * shift(images, -down, -right)
    return blurred


def shear(images: FloatArray, random: Generator) -> FloatArray:
    """Shear by 0.4 radians to one side or the other."""
    return _to_either_side(images, random, lambda angle: ((np.cos(angle), 0), (-np.sin(angle), 1)))


def scale(images: FloatArray, random: Generator) -> FloatArray:
    """Scale to 0.7 of the size."""
    return transform(images, ((1 / 0.7, 0), (0, 1 / 0.7)), is_repeated=False)


def rotate(images: FloatArray, random: Generator) -> FloatArray:
    """Turn by 0.4 radians, which is 23°, to one side or the other."""
    return _to_either_side(
        images, random, lambda angle: ((np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle)))
    )


def brighten(images: FloatArray, random: Generator) -> FloatArray:
    """Add half of full light."""
    return images + np.float32(0.5)


def translate(images: FloatArray, random: Generator) -> FloatArray:
    """Shift by three pixels, up or down and to the left or right."""
    down, right = 3 * _draw_sides(random, (2, len(images)))
    return shift(images, down, right, is_repeated=False)


def invert_stripes(images: FloatArray, random: Generator) -> FloatArray:
    """Invert the quarter on the left and the quarter on the right."""
    is_inside = (np.arange(SIDE) >= 7) & (np.arange(SIDE) < 21)
    return np.where(is_inside, images, 1 - images)


def add_fog(images: FloatArray, random: Generator) -> FloatArray:
    """Add clouds three times as bright as the ink, and scale down to the brightness from before."""
    clouds = draw_clouds(min(len(images), CLOUDS), random)[:, :SIDE, :SIDE]
    brightest = images.max(axis=(1, 2), keepdims=True)
    foggy: FloatArray = (images + 3 * clouds[np.arange(len(images)) % len(clouds)]) * (brightest / (brightest + 3))
    return foggy


def spatter(images: FloatArray, random: Generator) -> FloatArray:
    """Add mud of a quarter of full light where blurred random heights, and most heights nearby, are above 0.65."""
    heights = _blur(random.normal(0.65, 0.3, images.shape).astype(np.float32), 1)
    mud = _blur((heights > 0.65).astype(np.float32), 1.5)
    mud[mud < 0.8] = 0
    return images * (1 - mud) + np.float32(63 / 255) * mud


def add_dotted_line(images: FloatArray, random: Generator) -> FloatArray:
    """Draw a line from the left edge to the right: two columns drawn, two left out, in turn."""
    first, last = random.integers(0, 27, (2, len(images))).astype(np.float64)
    left = np.zeros(len(images))
    return np.where(np.arange(SIDE) // 2 % 2, images + draw_lines((left, first), (left + 27, last)), images)


def add_zigzag(images: FloatArray, random: Generator) -> FloatArray:
    """Draw a zigzag from column 2 to 25, along a line that is up to five rows aslant."""
    first, rise = random.integers(0, 27, len(images)), random.integers(-5, 5, len(images))
    return images + draw_zigzags(first, rise)


def keep_edges(images: FloatArray, random: Generator) -> FloatArray:
    """Keep the edges alone, as white lines."""
    return find_edges(images).astype(np.float32)


CORRUPTIONS: dict[str, Callable[[FloatArray, Generator], FloatArray]] = {
    "shot_noise": add_shot_noise,
    "impulse_noise": add_impulse_noise,
    "glass_blur": blur_as_glass,
    "motion_blur": blur_by_motion,
    "shear": shear,
    "scale": scale,
    "rotate": rotate,
    "brightness": brighten,
    "translate": translate,
    "stripe": invert_stripes,
    "fog": add_fog,
    "spatter": spatter,
    "dotted_line": add_dotted_line,
    "zigzag": add_zigzag,
    "canny_edges": keep_edges,
}
"""By the names that MNIST-C gives them."""


def _blur(images: FloatArray, deviation: float) -> FloatArray:
    blurred: FloatArray = ndimage.gaussian_filter(images, (0, deviation, deviation), mode="nearest")
    return blurred


def _draw_sides(random: Generator, shape: tuple[int, ...]) -> IntArray:
    return 2 * random.integers(0, 2, shape) - 1


def _to_either_side(
    images: FloatArray, random: Generator, turn: Callable[[float], tuple[tuple[float, float], tuple[float, float]]]
) -> FloatArray:
    """Return each image under the map `turn` of 0.4 or -0.4 radians, at random."""
    sides, changed = _draw_sides(random, (len(images),)), np.empty_like(images)
    for side in (-1, 1):
        changed[sides == side] = transform(images[sides == side], turn(0.4 * side), is_repeated=False)
    return changed
