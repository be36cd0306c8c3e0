"""Choose among equal images: which stay, which are left out, and the error for those that contradict each other."""

from dataclasses import dataclass

import numpy as np

from pipeline.cli import UserError
from pipeline.config.dataset import Dataset
from pipeline.data.arrays import IntArray
from pipeline.data.equality import find_differing, find_repeated, number_equal, pair_contradictions
from pipeline.data.images import Images, LeftOut
from pipeline.data.pictures import name_some


@dataclass(frozen=True)
class Selection:
    """The places of the images that stay, int64; the others, with reasons; a number that equal images share, int64 [n].

    `duplicates` and `contradictions` count what was found, whether it stays or not.
    """

    kept: IntArray
    left_out: list[LeftOut]
    equal: IntArray
    duplicates: int
    contradictions: int


def select_images(images: Images, dataset: Dataset) -> Selection:
    """Leave out images that contradict or repeat another, as the data set says; raise UserError if it refuses them."""
    equal = number_equal(images.hashes)
    two_labels, both_sets = (find_differing(equal, values) for values in (images.labels, images.is_test))
    contradictory = two_labels | both_sets
    pairs = list(pair_contradictions(equal, contradictory, images.labels, images.is_test))
    if pairs and dataset.contradictions == "refuse":
        raise _contradiction_error(images, [first for first, *_ in pairs])
    kept, compared = np.ones(len(equal), bool), ~contradictory
    if dataset.contradictions == "skip":
        kept = compared = ~(two_labels | (both_sets & ~images.is_test))
    left_out = [
        LeftOut(images.name(place), images.label(place), f"contradiction: the same as {images.describe(other)}")
        for set_pairs in pairs
        for place, other in set_pairs
        if not kept[place]
    ]
    originals = find_repeated(equal, compared)
    if dataset.duplicates == "skip":
        left_out += [
            LeftOut(images.name(place), images.label(place), f"duplicate: the same as {images.name(originals[place])}")
            for place in np.flatnonzero(originals >= 0).tolist()
        ]
        kept = kept & (originals < 0)
    duplicates, contradictions = int((originals >= 0).sum()), int(contradictory.sum())
    return Selection(np.flatnonzero(kept), left_out, equal, duplicates, contradictions)


def _contradiction_error(images: Images, pairs: list[tuple[int, int]]) -> UserError:
    named = [f"{images.describe(one)} and {images.describe(other)}" for one, other in pairs]
    return UserError(
        f"equal images have two labels, or are in the training and the test set: {name_some(named)}. Remove "
        "the wrong ones, or write contradictions: skip, which lists what it leaves out in data/prepared/skipped.csv"
    )
