"""Which images train, which validate and which test: labels in, masks out."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pipeline.cli import UserError
from pipeline.data.arrays import BoolArray, IntArray, UInt16Array, UInt64Array

SPLITS = ("train", "val", "test")
TRAIN, VAL, TEST = range(3)
VALIDATION_FRACTION = 6  # a small data set gives at most a sixth of its training images


def require_classes(labels: UInt16Array, is_test: BoolArray, class_names: Sequence[str]) -> None:
    """Raise UserError unless there are two classes or more, each with enough images for every split.

    If no image is marked as a test image, the test set is drawn from the others later, which takes one image more.
    """
    if len(class_names) < 2:
        raise UserError(f"there is one class, {', '.join(class_names) or 'or none'}; two classes or more are needed")
    train, test = (np.bincount(labels[mask], minlength=len(class_names)) for mask in (~is_test, is_test))
    has_test = bool(is_test.any())
    for name, counts in (("training", train), ("test", test)) if has_test else (("training", train),):
        if missing := [class_names[number] for number in np.flatnonzero(counts == 0).tolist()]:
            raise UserError(f"the {name} images have none of {', '.join(missing[:5])}: add some, or remove the class")
    least = 2 if has_test else 3
    if few := [f"{class_names[number]} has {train[number]}" for number in np.flatnonzero(train < least).tolist()]:
        use = "to train and to validate" if has_test else "to train, to validate and to test"
        raise UserError(f"each class needs {least} images or more, {use}; {', '.join(few[:5])}")


def draw_splits(
    labels: UInt16Array,
    is_test: BoolArray,
    units: IntArray,
    hashes: UInt64Array,
    validation_images: int,
    test_share: float,
    seed: int,
) -> IntArray:
    """Return each image's place in SPLITS, int64 [n]: draw test images if there are none, then validation images.

    Images with the same number in `units`, int64 [n], stay together in each split that is drawn. `hashes`, uint64 [n],
    decide the test images: the seed doesn't change them, and adding images changes few of them.
    """
    split_of = np.where(is_test, TEST, TRAIN)
    if not is_test.any():
        ranks = np.full(int(units.max()) + 1, np.iinfo(np.uint64).max)
        np.minimum.at(ranks, units, hashes)
        split_of[draw_units(labels, units, np.argsort(ranks), round(test_share * len(labels)))] = TEST
    rest = np.flatnonzero(split_of == TRAIN)
    number = count_validation_images(validation_images, len(rest))
    require_one_per_class(number, len(np.unique(labels)))
    own = np.unique(units[rest], return_inverse=True)[1]
    order = np.random.default_rng(seed).permutation(int(own.max()) + 1)
    split_of[rest[draw_units(labels[rest], own, order, number)]] = VAL
    return split_of


def require_all_classes(labels: UInt16Array, split_of: IntArray, class_names: Sequence[str]) -> None:
    """Raise UserError unless each split has each class: one group may hold all images of a class."""
    for place, split in enumerate(SPLITS):
        counts = np.bincount(labels[split_of == place], minlength=len(class_names))
        if lacking := [class_names[number] for number in np.flatnonzero(counts == 0).tolist()]:
            raise UserError(
                f"the split {split} would have none of {', '.join(lacking[:5])}: the groups of such a class are too "
                "few or too large; add groups, or change group_column or group_separator"
            )


def count_validation_images(wanted: int, images: int) -> int:
    """Return how many of the training images validate: `wanted`, or a sixth if that is less."""
    return min(wanted, images // VALIDATION_FRACTION)


def draw_validation_mask(labels: UInt16Array, wanted: int, seed: int) -> BoolArray:
    """Return a mask, True for the images that validate: `wanted`, or a sixth if that is less, stratified by class."""
    from sklearn.model_selection import train_test_split

    number = count_validation_images(wanted, len(labels))
    require_one_per_class(number, int(labels.max()) + 1)
    mask = np.zeros(len(labels), bool)
    chosen = train_test_split(np.arange(len(labels)), test_size=number, stratify=labels, random_state=seed)[1]
    mask[chosen] = True
    return mask


def require_one_per_class(validation_images: int, classes: int) -> None:
    if validation_images < classes:
        raise UserError(
            f"validation_images: {validation_images} images can't show each of {classes} classes; raise the number, or "
            "add images: at most a sixth of the images outside the test set is taken"
        )


def number_units(groups: Sequence[str]) -> IntArray:
    """Return a number per image, int64 [n], the same within a group; an image without a group has its own number."""
    numbers: dict[str | int, int] = {}
    return np.array([numbers.setdefault(group or place, len(numbers)) for place, group in enumerate(groups)], np.int64)


def draw_units(labels: UInt16Array, units: IntArray, order: IntArray, wanted: int) -> BoolArray:
    """Return a mask over n images, True for about `wanted` of them, stratified by class; it divides no unit.

    `units` has a number 0 … k − 1 per image, the same for images that belong together; `order` is the order in which
    units are considered. A unit is taken if that brings the classes nearer to their shares. Each class has images on
    both sides of the mask, unless its units make that impossible.
    """
    shares = share_by_class(np.bincount(labels), wanted)
    members = np.split(np.argsort(units, kind="stable"), np.cumsum(np.bincount(units))[:-1])
    contents = [Counter(labels[rows].tolist()) for rows in members]
    left = Counter(labels.tolist())  # images of each class that aren't taken
    taken: Counter[int] = Counter()
    chosen = np.zeros(len(members), bool)

    def take(unit: int) -> None:
        chosen[unit] = True
        taken.update(contents[unit])
        left.subtract(contents[unit])

    def leaves_some(unit: int) -> bool:
        return all(left[label] > count for label, count in contents[unit].items())

    for unit in order.tolist():
        gain = sum(count * (2 * (shares[label] - taken[label]) - count) for label, count in contents[unit].items())
        if gain > 0 and leaves_some(unit):
            take(unit)
    for label in range(len(shares)):  # classes without images so far: each of their units is larger than the share
        if not taken[label]:
            able = [unit for unit in order.tolist() if label in contents[unit] and leaves_some(unit)]
            if able:
                take(min(able, key=lambda unit: contents[unit].total()))
    return chosen[units]


def share_by_class(counts: IntArray, wanted: int) -> list[int]:
    """Return how many images of each class to take for `wanted` in all: in proportion, and at least one."""
    exact = counts * (wanted / counts.sum())
    shares = np.maximum(np.floor(exact).astype(int), 1)
    short = max(0, wanted - int(shares.sum()))
    shares[np.argsort(shares - exact, kind="stable")[:short]] += 1
    return [int(share) for share in shares]


def join_units(units: IntArray, numbers: IntArray) -> IntArray:
    """Return units, int64 [n], joined if they have images with the same number in `numbers`; both count from 0."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    size = int(units.max()) + 1, int(numbers.max()) + 1
    links = coo_matrix((np.ones(len(units), bool), (units, size[0] + numbers)), shape=(sum(size),) * 2)
    components: IntArray = connected_components(links, directed=False)[1]
    return np.unique(components[units], return_inverse=True)[1]
