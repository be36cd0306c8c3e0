"""Measure how many images are answered right, and how many unsure: digits in other forms, and images of no digit.

MNIST's test images are moved, made pale or large, rendered and photographed. The images of no digit are letters, noise,
blank pages, several digits and photographs of things. All go through serving.images to the network, as files do. What
is usual is measured on validation images, as `evaluate` does it:

    python -m benchmarks.doubt THINGS [model: cnn_accurate] [images: 1000] [FONTS]

THINGS is a folder with JPEG files of things, FONTS a folder with fonts for more letters; folders below them count, too.
"""

import string
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.photographs import add_grain, cast_shadow, light_unevenly, photograph, render_page
from pipeline.data.pixels import as_raw
from pipeline.data.prepared import load_split
from pipeline.evaluation.doubt import fit
from pipeline.inference import open_onnx, predict_onnx
from pipeline.paths import Workspace
from serving.doubt import find_doubts
from serving.image_files import ImageError
from serving.ink import to_mnist

Random = np.random.Generator
# The rule was chosen on letters of the DejaVu fonts, so it is measured on matplotlib's other fonts.
FONTS = tuple(
    Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    for name in ("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta",
                 "cmb10", "cmmi10", "cmr10", "cmss10", "cmti10", "cmtt10")
)  # fmt: skip
LIKE_DIGITS = frozenset("BDGIOQSTZbgilloqsyz")  # that many people write as a digit
BICUBIC = Image.Resampling.BICUBIC


@dataclass(frozen=True)
class Material:
    """What pictures are made of: fonts, digits (uint8 [n, 28, 28]) and photographs of things."""

    fonts: Sequence[Path]
    digits: np.ndarray
    things: Sequence[Path]


def move(digit: np.ndarray, random: Random) -> np.ndarray:
    """Move a digit by 3 pixels in one of eight directions."""
    down, right = [(y, x) for y in (-3, 0, 3) for x in (-3, 0, 3) if y or x][random.integers(8)]
    return np.pad(digit, 3)[3 - down : 31 - down, 3 - right : 31 - right]


def enlarge(digit: np.ndarray, side: int) -> np.ndarray:
    """Scale a digit so that its longer side has `side` pixels, and put it into the middle of the field."""
    rows, columns = np.flatnonzero(digit.any(axis=1)), np.flatnonzero(digit.any(axis=0))
    ink = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = (max(1, round(length * side / max(ink.shape))) for length in ink.shape)
    top, left, field = (28 - height) // 2, (28 - width) // 2, np.zeros((28, 28), np.uint8)
    field[top : top + height, left : left + width] = np.asarray(Image.fromarray(ink).resize((width, height), BICUBIC))
    return field


DIGITS: dict[str, Callable[[np.ndarray, Random], np.ndarray]] = {
    "MNIST's test images": lambda digit, _: digit,
    "moved by 3 pixels": move,
    "half contrast": lambda digit, _: digit // 2,
    "filling the field": lambda digit, _: enlarge(digit, 28),
    "moved, half contrast": lambda digit, random: move(digit // 2, random),
    "filling, half contrast": lambda digit, _: enlarge(digit, 28) // 2,
    "22 pixels large, moved, half contrast": lambda digit, random: move(enlarge(digit, 22) // 2, random),
    "large, dark on light": render_page,
    "photographed": photograph,
}
SLOW = ("large, dark on light", "photographed")


def draw_letter(material: Material, random: Random, letters: str = string.ascii_letters) -> np.ndarray:
    """Return a letter in one of the fonts, turned, slanted and stretched a little, in a thinner or thicker stroke."""
    letter = letters[random.integers(len(letters))]
    font = ImageFont.truetype(str(material.fonts[int(random.integers(len(material.fonts)))]), 160)
    page = Image.new("L", (400, 400), 255)
    ImageDraw.Draw(page).text((200, 200), letter, 0, font, anchor="mm", stroke_width=int(random.integers(0, 8)))
    angle, slant, stretch = random.normal(0, 0.12), random.normal(0, 0.15), random.uniform(0.8, 1.25)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[stretch, slant], [0, 1 / stretch]])
    shift = 200 - matrix @ (200, 200)
    place = (*matrix[0], shift[0], *matrix[1], shift[1])
    return np.asarray(page.transform(page.size, Image.Transform.AFFINE, place, BICUBIC, fillcolor=255))


def draw_letter_unlike_digits(material: Material, random: Random) -> np.ndarray:
    """Return a letter that isn't written like a digit."""
    return draw_letter(material, random, "".join(sorted(set(string.ascii_letters) - LIKE_DIGITS)))


def print_digit(material: Material, random: Random) -> np.ndarray:
    """Return a digit in one of the fonts."""
    return draw_letter(material, random, string.digits)


def make_noise(_: Material, random: Random) -> np.ndarray:
    """Return noise of one of five kinds, 28 to 280 pixels wide."""
    side, kind = int(random.integers(28, 281)), random.integers(5)
    if kind == 0:
        return random.uniform(0, 255, (side, side))
    if kind == 1:
        return random.normal(128, random.uniform(30, 90), (side, side))
    if kind == 2:  # salt and pepper
        return np.where(random.random((side, side)) < random.uniform(0.01, 0.5), 0, 255)
    fine = Image.fromarray(random.normal(0, 1, (side, side)).astype(np.float32))
    coarse = (max(3, side // int(random.integers(4, 14))),) * 2
    waves = np.asarray(fine.resize(coarse).resize((side, side), BICUBIC))
    waves = (waves - waves.mean()) / waves.std()
    return 128 + 60 * waves if kind == 3 else np.where(waves > random.uniform(0, 1.5), 0, 255)  # clouds, or blots


def make_blank_page(_: Material, random: Random) -> np.ndarray:
    """Return an empty page in uneven light, with grain."""
    page = np.full(tuple(random.integers(28, 600, 2)), random.uniform(120, 255))
    return add_grain(light_unevenly(page, random, random.uniform(0.6, 1)), random, random.uniform(0.5, 12))


def make_shaded_page(material: Material, random: Random) -> np.ndarray:
    """Return an empty page that also has a shadow's edge."""
    return cast_shadow(make_blank_page(material, random), random, random.uniform(0.05, 0.3))


def compose_digits(material: Material, random: Random) -> np.ndarray:
    """Return two to eight digits beside each other, in one row or two, dark on light."""
    count, gap = int(random.integers(2, 9)), int(random.integers(-4, 8))
    rows = 2 if count > 3 and random.random() < 0.3 else 1
    page = np.zeros((28 * rows + 8, (28 + gap) * -(-count // rows) + 16), np.uint8)
    for number, digit in enumerate(material.digits[random.integers(len(material.digits), size=count)]):
        top = 4 + 28 * (number % rows) + int(random.integers(-2, 3))
        left = 6 + (28 + gap) * (number // rows)
        place = page[top : top + 28, left : left + 28]
        np.maximum(place, digit, out=place)
    scale = random.uniform(2, 8)
    size = round(page.shape[1] * scale), round(page.shape[0] * scale)
    return 255 - np.asarray(Image.fromarray(page).resize(size, BICUBIC))


def show_thing(material: Material, random: Random) -> np.ndarray:
    """Return a random photograph of a thing, in grey."""
    return np.asarray(Image.open(material.things[int(random.integers(len(material.things)))]).convert("L"))


OTHERS: dict[str, Callable[[Material, Random], np.ndarray]] = {
    "noise": make_noise,
    "blank pages": make_blank_page,
    "blank pages, a shadow's edge": make_shaded_page,
    "two to eight digits": compose_digits,
    "photographs of things": show_thing,
}
LETTERS: dict[str, Callable[[Material, Random], np.ndarray]] = {
    "letters, all 52": draw_letter,
    "letters unlike digits": draw_letter_unlike_digits,
    "printed digits": print_digit,
}


def read(pictures: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the pictures in MNIST's form, uint8 [n, 28, 28], and which of them aren't blank."""
    fields, found = [], []
    for picture in pictures:
        try:
            fields.append(to_mnist(Image.fromarray(np.clip(np.rint(picture), 0, 255).astype(np.uint8))))
            found.append(True)
        except ImageError:
            found.append(False)
    return np.stack(fields or [np.zeros((28, 28), np.uint8)]), np.array(found)


def main(things: str, model: str = "cnn_accurate", images: str = "1000", fonts: str = "") -> None:
    """Print a line for each kind of image."""
    photographs = sorted(Path(things).rglob("*.jpg"))
    if not photographs:
        sys.exit(f"error: {things} has no .jpg file: name a folder of photographs of things")
    workspace, count = Workspace(), int(images)
    session = open_onnx(workspace.model(model) / "model.onnx")
    val, test = (load_split(workspace.prepared, split) for split in ("val", "test"))
    usual = fit(as_raw(val.pixels), predict_onnx(session, as_raw(val.pixels)), is_ink=True)
    assert usual is not None  # of a whole validation set
    digits, labels = as_raw(test.pixels), test.labels

    def answer(pictures: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        fields, found = read(pictures)
        probabilities = predict_onnx(session, fields.astype(np.float32))
        doubts = find_doubts(fields, probabilities, usual, is_ink=True)
        return probabilities.argmax(axis=1), np.array([doubt is not None for doubt in doubts]), found

    for name, change in DIGITS.items():
        random, number = np.random.default_rng(1), count if name in SLOW else len(digits)
        answers, unsure, found = answer(change(digit, random) for digit in digits[:number])
        right = answers == labels[:number][found]
        print(f"{name:<38} n = {number}, right {right.sum() / number:.2%}, blank {(~found).sum()}, unsure "
              f"{unsure.mean():.2%}; right of the sure {right[~unsure].mean():.2%}", flush=True)  # fmt: skip
    material = Material(FONTS, digits, photographs)
    kinds = [(name, make, material) for name, make in (OTHERS | LETTERS).items()]
    if fonts:
        more = [path for path in sorted(Path(fonts).rglob("*")) if path.suffix in (".ttf", ".woff")]
        others = replace(material, fonts=more)
        kinds += [(f"{name}, {len(more)} more fonts", make, others) for name, make in LETTERS.items()]
    for name, make, made_of in kinds:
        random = np.random.default_rng(1)
        _, unsure, found = answer(make(made_of, random) for _ in range(count))
        blank = (~found).sum()
        said = blank + (unsure.sum() if found.any() else 0)
        print(f"{name:<38} n = {count}, blank {blank}, blank or unsure {said / count:.1%}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
