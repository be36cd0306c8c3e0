"""Images that show none of the classes, and digits of another hand: images that a model wasn't trained for."""

import string
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.random import Generator

from pipeline.data.arrays import IntArray, UInt8Array
from pipeline.data.digits import bring_to_mnist_form, read_scans
from serving.images import Form, bring_to_form

# Capitals and small letters that nobody reads as a digit, turned by a few degrees, thin and bold.
LETTERS = "ACEFHKMNPRTUVWX" + "adefhkmnrtwx"
ANGLES, BOLDNESS = (-10, 10), (0, 3)
PAGE, LETTER_SIZE = 128, 72  # pixels


def draw_strangers(images: UInt8Array, form: Form, are_digits: bool, random: Generator) -> dict[str, UInt8Array]:
    """Return images of the same form as `images`, uint8 [n, *form.shape], that show none of the classes, by kind.

    Letters are only drawn for digits: other data sets may have them as classes.
    """
    strangers = {
        "noise": random.integers(0, 256, images.shape, np.uint8),
        "inverted": 255 - images,
        "blank": np.zeros((1, *form.shape), np.uint8),
    }
    return strangers | ({"letters": draw_letters(form)} if are_digits else {})


@cache
def draw_letters(form: Form) -> UInt8Array:
    """Return letters in Pillow's own font, dark on a light page, brought to the form as any picture is."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(LETTER_SIZE)
    drawn = []
    for letter in LETTERS:
        for boldness in BOLDNESS:
            page = Image.new(form.mode, (PAGE, PAGE), "white")
            middle = (PAGE / 2, PAGE / 2)
            ImageDraw.Draw(page).text(middle, letter, "black", font, anchor="mm", stroke_width=boldness)
            turned = (page.rotate(angle, Image.Resampling.BILINEAR, fillcolor="white") for angle in ANGLES)
            drawn += [bring_to_form(each, form) for each in turned]
    return np.stack(drawn)


@cache
def read_other_hand(most: int) -> tuple[UInt8Array, IntArray]:
    """Return scikit-learn's scans in MNIST's form, uint8 [n, 28, 28], and their labels; n is at most `most`.

    Of 13 other writers, 8×8 pixels: E. Alpaydin and C. Kaynak, Optical recognition of handwritten digits, UCI 1998.
    """
    scans, labels = read_scans()
    places = choose_places(len(scans), most)
    return np.stack([bring_to_mnist_form(scan) for scan in scans[places]]), labels[places]


def choose_places(count: int, most: int) -> IntArray:
    """Return at most `most` of the places 0 … count - 1, at equal distances."""
    number = min(count, most)
    return np.arange(number) * count // max(number, 1)


def has_digits(class_names: Sequence[str]) -> bool:
    """Return whether the classes are the ten digits, in their order."""
    return list(class_names) == list(string.digits)


def has_other_hand(dataset: Mapping[str, Any]) -> bool:
    """Return whether a data set, by its dataset.json, has digits in ink like scikit-learn's scans, but isn't these."""
    return has_digits(dataset["class_names"]) and dataset["resize"] == "ink" and dataset["name"] != "digits"
