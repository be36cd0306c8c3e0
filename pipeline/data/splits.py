"""Which images train and which validate: labels in, masks out."""

import numpy as np

from pipeline.cli import UserError
from pipeline.data.arrays import BoolArray, UInt8Array

VALIDATION_FRACTION = 6  # a small data set gives at most a sixth of its training images


def count_classes(train_labels: UInt8Array, test_labels: UInt8Array) -> int:
    """Return the number of classes k; raise UserError unless both sets have each of 0 … k − 1, and no other label."""
    if not len(train_labels) or not len(test_labels):
        raise UserError("the label files name no images: look at data/raw")
    classes = int(train_labels.max()) + 1
    if classes < 2 or np.bincount(train_labels).min() == 1:
        raise UserError(
            f"labels 0 … {classes - 1}: there must be two classes, and two training images of each, or more"
        )
    for name, labels in (("training", train_labels), ("test", test_labels)):
        missing = sorted(set(range(classes)) ^ set(np.unique(labels).tolist()))
        if missing:
            raise UserError(f"the {name} labels should be 0 … {classes - 1}, each at least once; look at {missing}")
    return classes


def count_validation_images(wanted: int, images: int) -> int:
    """Return how many of the training images validate: `wanted`, or a sixth if that is less."""
    return min(wanted, images // VALIDATION_FRACTION)


def draw_validation_mask(labels: UInt8Array, wanted: int, seed: int) -> BoolArray:
    """Return a mask, True for the images that validate: `wanted`, or a sixth if that is less, stratified by class."""
    from sklearn.model_selection import train_test_split

    number = count_validation_images(wanted, len(labels))
    classes = int(labels.max()) + 1
    if number < classes:
        raise UserError(f"validation_images: {number} images can't hold each of {classes} classes; ask for more")
    mask = np.zeros(len(labels), bool)
    chosen = train_test_split(np.arange(len(labels)), test_size=number, stratify=labels, random_state=seed)[1]
    mask[chosen] = True
    return mask
