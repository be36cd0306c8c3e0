"""Measure how well digits are read from photographs: render MNIST's first test images as large pictures, and read them.

Each image is scaled 5 to 20 times with smooth interpolation and put, dark on light, at a random place of a larger page;
then the page is changed as the variant says. The pictures go through serving.images to the network, as files do:

    python -m benchmarks.photographs [model: cnn_accurate] [images: 1000]
"""

import io
import sys
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

from pipeline.data.pixels import as_raw
from pipeline.data.prepared import load_split
from pipeline.inference import open_onnx, predict_onnx
from pipeline.paths import Workspace
from serving.images import INK, WEB_FORMATS, ImageError, prepare

Random = np.random.Generator


def render_page(digit: np.ndarray, random: Random, paper: int = 255, pen: int = 0) -> np.ndarray:
    """Return the digit, dark on light, with margins of up to one and a half times its field on each side."""
    side = round(28 * random.uniform(5, 20))
    large = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    top, bottom, left, right = random.integers(0, side * 3 // 2, 4)
    ink = np.pad(np.asarray(large, np.float32) / 255, ((top, bottom), (left, right)))
    return paper + (pen - paper) * ink


def light_unevenly(picture: np.ndarray, random: Random, darkest: float) -> np.ndarray:
    """Let the light fall from 1 in one corner to `darkest` in the opposite one."""
    height, width = picture.shape
    fade = np.add.outer(np.linspace(0, 1, height), np.linspace(0, 1, width)) / 2
    turned = fade[:: random.choice((1, -1)), :: random.choice((1, -1))]
    return picture * (1 - (1 - darkest) * turned)


def cast_shadow(picture: np.ndarray, random: Random, dark: float) -> np.ndarray:
    """Cast a shadow with a soft edge across the page."""
    height, width = picture.shape
    y, x = np.mgrid[-0.5 : 0.5 : height * 1j, -0.5 : 0.5 : width * 1j]
    angle, offset = random.uniform(0, 2 * np.pi), random.uniform(-0.3, 0.3)
    inside = 1 / (1 + np.exp(-40 * (np.cos(angle) * x + np.sin(angle) * y + offset)))
    shaded: np.ndarray = picture * (1 - dark * inside)
    return shaded


def add_grain(picture: np.ndarray, random: Random, deviation: float) -> np.ndarray:
    """Add normal noise."""
    return picture + random.normal(0, deviation, picture.shape)


def add_dirt(picture: np.ndarray, random: Random, specks: int) -> np.ndarray:
    """Add black squares of up to seven pixels."""
    for top, left, side in zip(
        random.integers(0, picture.shape[0], specks), random.integers(0, picture.shape[1], specks),
        random.integers(1, 8, specks), strict=True,
    ):  # fmt: skip
        picture[top : top + side, left : left + side] = 0
    return picture


def encode(picture: np.ndarray, format: str = "PNG", **options: int) -> bytes:
    """Return the picture as a file of that format."""
    file = io.BytesIO()
    Image.fromarray(np.clip(np.rint(picture), 0, 255).astype(np.uint8)).save(file, format, **options)
    return file.getvalue()


def photograph(digit: np.ndarray, random: Random) -> np.ndarray:
    """Return a page in uneven light, with a shadow and some grain."""
    page = light_unevenly(render_page(digit, random, 225, 50), random, 0.7)
    return add_grain(cast_shadow(page, random, 0.2), random, 6)


VARIANTS: dict[str, Callable[[np.ndarray, Random], bytes]] = {
    "dark on light, PNG": lambda digit, random: encode(render_page(digit, random)),
    "light on dark, PNG": lambda digit, random: encode(255 - render_page(digit, random)),
    "JPEG of quality 20": lambda digit, random: encode(render_page(digit, random), "JPEG", quality=20),
    "pencil on grey paper": lambda digit, random: encode(add_grain(render_page(digit, random, 220, 150), random, 4)),
    "noise": lambda digit, random: encode(add_grain(render_page(digit, random, 220, 40), random, 30)),
    "uneven light": lambda digit, random: encode(light_unevenly(render_page(digit, random, 230, 40), random, 0.5)),
    "a shadow's edge": lambda digit, random: encode(cast_shadow(render_page(digit, random, 235, 40), random, 0.35)),
    "dirt": lambda digit, random: encode(add_dirt(render_page(digit, random), random, 20)),
    "photograph": lambda digit, random: encode(photograph(digit, random), "JPEG", quality=75),
}


def main(model: str = "cnn_accurate", images: str = "1000") -> None:
    """Print a line for each variant: accuracy, number of images, how many seemed blank, milliseconds per image."""
    session = open_onnx(Workspace().model(model) / "model.onnx")
    split = load_split(Workspace().prepared, "test")
    first = np.argsort(split.index)[: int(images)]
    digits, labels = as_raw(split.pixels[first]), split.labels[first]

    def report(variant: str, pixels: np.ndarray, unread: int = 0, seconds: float = 0) -> None:
        right = (predict_onnx(session, pixels.astype(np.float32)).argmax(axis=1) == labels).mean()
        cost = f"{seconds / len(labels) * 1000:5.1f} ms per image"
        print(f"{variant:<20} {right:7.2%}  n = {len(labels)}, {unread} taken for blank, {cost}", flush=True)

    report("as published", digits)
    for variant, render in VARIANTS.items():
        random, unread, spent, pixels = np.random.default_rng(0), 0, 0.0, np.zeros_like(digits)
        for number, digit in enumerate(digits):
            file = render(digit, random)
            start = time.process_time()
            try:
                pixels[number] = prepare(file, INK, WEB_FORMATS)
            except ImageError:
                unread += 1
            spent += time.process_time() - start
        report(variant, pixels, unread, spent)


if __name__ == "__main__":
    main(*sys.argv[1:])
