"""How a model answers to images that are not like those it was trained on; nothing is chosen by these figures.

Conditions change test images: the corruptions of MNIST-C; moves and other strokes, which must not change an answer,
and a half turn, which must, in the sense of behavioural tests (M. Ribeiro, T. Wu, C. Guestrin and S. Singh, Beyond
accuracy: behavioral testing of NLP models with CheckList, ACL 2020). Strangers show none of the classes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator, default_rng
from scipy import ndimage

from pipeline.data.arrays import FloatArray, IntArray, UInt8Array
from pipeline.data.pixels import as_raw
from pipeline.data.prepared import Split
from pipeline.evaluation.corruptions import CORRUPTIONS, corrupt
from pipeline.evaluation.drawings import SIDE
from pipeline.evaluation.metrics import DIGITS
from pipeline.evaluation.moves import resize, shift, turn
from pipeline.evaluation.strangers import choose_places, draw_strangers, has_digits, has_other_hand, read_other_hand
from serving.images import Form

# Number of images to change: with 1,000, an accuracy of 90 % is known to 2 points, and all conditions together cost
# about as much as the validation and test images. The second number bounds the memory that large pictures take.
MOST_IMAGES, MOST_VALUES = 1000, 10_000_000
SEED = 0  # not the seed of params.yaml: all models see the same images
HALF_TURNED = {"6": "9", "9": "6"}
DIRECTIONS = np.array([(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right])
SUMMARIES = {
    "corrupted_accuracy": ("corruption", "accuracy"),
    "moved_accuracy": ("move", "accuracy"),
    "digits_scans_accuracy": ("other hand", "accuracy"),
    "stranger_auroc": ("stranger", "auroc"),
}
"""Keys of metrics.json: the mean of a column over the conditions of a group."""
Change = Callable[[UInt8Array, Generator], UInt8Array]
Predict = Callable[[UInt8Array], FloatArray]
Row = dict[str, str | float]


def measure(predict: Predict, split: Split, clean: FloatArray, dataset: Mapping[str, Any]) -> pd.DataFrame:
    """Return a row per condition, its name and group first; a value that has no meaning for a condition is missing.

    `predict` returns the probabilities for raw pixels, `clean` has those for the split's images, [n, classes];
    `dataset` is the content of dataset.json.
    """
    places = choose_images(split.pixels.shape)
    images, labels, clean = as_raw(split.pixels[places]), split.labels[places].astype(np.int64), clean[places]
    form, names = make_form(split.pixels.shape, dataset), dataset["class_names"]
    rows: list[Row] = [name_row("clean", "clean") | score_answers(clean, labels, clean)]
    for name, (group, change) in list_conditions(form).items():
        rows.append(name_row(name, group) | score_answers(predict(change(images, seed(name))), labels, clean))
    rows += measure_digits(predict, images, labels, dataset) if has_digits(names) else []
    for name, strange in draw_strangers(images, form, has_digits(names), seed("strangers")).items():
        rows.append(name_row(name, "stranger") | score_strangers(predict(strange), clean))
    return pd.DataFrame(rows)


def choose_images(shape: Sequence[int]) -> IntArray:
    """Return the places of the images to change, among stored ones of this shape, [n, height, width, channels]."""
    return choose_places(shape[0], min(MOST_IMAGES, max(1, MOST_VALUES // int(np.prod(shape[1:])))))


def make_form(shape: Sequence[int], dataset: Mapping[str, Any]) -> Form:
    """Return the form of stored images of this shape, [n, height, width, channels]."""
    height, width, channels = shape[1:]
    return Form(height, width, channels, dataset["resize"])


def seed(name: str) -> Generator:
    """Return the random generator of one condition, independent of the others."""
    return default_rng([SEED, *name.encode()])


def name_row(name: str, group: str) -> Row:
    return {"condition": name, "group": group}


def list_conditions(form: Form) -> dict[str, tuple[str, Change]]:
    """Return, by name, group and change of each condition that is possible for images of this form."""
    found: dict[str, tuple[str, Change]] = {}
    if form.shape == (SIDE, SIDE):
        found |= {name: ("corruption", partial(corrupt, name)) for name in CORRUPTIONS}
    for pixels in (1, 2, 3):
        found[f"shift_{pixels}"] = ("move", partial(shift_around, pixels))
    for degrees in (10, 20, 30):
        found[f"turn_{degrees}"] = ("move", partial(turn_to_both_sides, degrees))
    for name, factor in (("smaller", 0.8), ("larger", 1.2)):
        found[name] = ("move", partial(resize_all, factor))
    if form.resize == "ink":
        found |= {"thicker": ("stroke", thicken), "thinner": ("stroke", thin)}
    return found


def shift_around(pixels: int, images: UInt8Array, _: Generator) -> UInt8Array:
    """Return each image shifted by `pixels` in one of the eight directions, in turn."""
    down, right = pixels * DIRECTIONS[np.arange(len(images)) % len(DIRECTIONS)].T
    return shift(images, down, right)


def turn_to_both_sides(degrees: float, images: UInt8Array, _: Generator) -> UInt8Array:
    """Return each image turned by `degrees`, to the left and to the right in turn."""
    turned = images.copy()
    for first, angle in ((0, degrees), (1, -degrees)):
        turned[first::2] = turn(images[first::2], angle)
    return turned


def resize_all(factor: float, images: UInt8Array, _: Generator) -> UInt8Array:
    """Return images whose content is `factor` times as large."""
    return resize(images, factor)


def thicken(images: UInt8Array, _: Generator) -> UInt8Array:
    """Return strokes thicker by a pixel: a dilation of the grey levels."""
    thicker: UInt8Array = ndimage.grey_dilation(images, (1, 2, 2))
    return thicker


def thin(images: UInt8Array, _: Generator) -> UInt8Array:
    """Return strokes thinner by half a pixel: the mean of image and erosion, which alone would remove thin lines."""
    eroded: UInt8Array = ndimage.grey_erosion(images, (1, 2, 2))
    return images // 2 + eroded // 2


def measure_digits(predict: Predict, images: UInt8Array, labels: IntArray, dataset: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the rows of conditions for digits only: sixes and nines turned by 180°, and scans of another hand."""
    names = dataset["class_names"]
    turned = np.array([names.index(HALF_TURNED.get(name, name)) for name in names])
    is_turned = (turned != np.arange(len(names)))[labels]
    if is_turned.any():
        answers = predict(images[is_turned, ::-1, ::-1])
        yield name_row("six_nine", "half turn") | score_answers(answers, turned[labels[is_turned]])
    if has_other_hand(dataset):
        scans, written = read_other_hand(MOST_IMAGES)
        yield name_row("digits_scans", "other hand") | score_answers(predict(scans), written)


def score_answers(probabilities: FloatArray, labels: IntArray, clean: FloatArray | None = None) -> Row:
    """Return number of images, accuracy, mean confidence, and the share of answers that equal those to clean images."""
    answers = probabilities.argmax(axis=1)
    found: Row = {"images": len(answers), "accuracy": float((answers == labels).mean())}
    found["confidence"] = average_confidence(probabilities)
    return found | ({} if clean is None else {"kept": float((answers == clean.argmax(axis=1)).mean())})


def score_strangers(probabilities: FloatArray, clean: FloatArray) -> Row:
    """Return number of images, mean confidence, and how well confidence tells them from the clean test images."""
    auroc = measure_auroc(clean.max(axis=1), probabilities.max(axis=1))
    return {"images": len(probabilities), "confidence": average_confidence(probabilities), "auroc": auroc}


def average_confidence(probabilities: FloatArray) -> float:
    return float(probabilities.max(axis=1).mean(dtype=np.float64))


def measure_auroc(known: FloatArray, strange: FloatArray) -> float:
    """Return the area under the ROC curve: how often a known value is above a strange one; a tie counts half.

    It is computed over all pairs: H. Mann and D. Whitney, Annals of Mathematical Statistics 18 (1947).
    """
    ordered = np.sort(strange)
    below, up_to = (np.searchsorted(ordered, known, side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * len(strange)))


def summarise(table: pd.DataFrame) -> dict[str, float]:
    """Return the means that SUMMARIES defines, if the table has their groups."""
    return {
        key: round(float(table.loc[table["group"] == group, column].mean()), DIGITS)
        for key, (group, column) in SUMMARIES.items()
        if (table["group"] == group).any()
    }
