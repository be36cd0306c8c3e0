"""Which images are equal, pixel for pixel, and which of these contradict each other."""

from collections import defaultdict
from collections.abc import Iterator
from hashlib import blake2b

import numpy as np

from pipeline.data.arrays import BoolArray, IntArray, UInt8Array, UInt16Array, UInt64Array


def hash_images(images: UInt8Array) -> UInt64Array:
    """Return a hash of 128 bits per image, uint64 [n, 2]: enough that different images get different hashes."""
    digests = b"".join(blake2b(image, digest_size=16).digest() for image in images)
    return np.frombuffer(digests, "<u8").reshape(-1, 2)


def number_equal(hashes: UInt64Array) -> IntArray:
    """Return a number 0 … k − 1 per image, int64 [n], the same for equal images; `hashes` is uint64 [n, 2]."""
    order = np.lexsort(hashes.T)
    ordered = hashes[order]
    is_new = np.zeros(len(order), np.int64)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.cumsum(is_new)
    return numbers


def find_differing(numbers: IntArray, values: UInt16Array | BoolArray) -> BoolArray:
    """Return which images, bool [n], equal an image with another value: with another label, or in the other set."""
    _, firsts = np.unique(numbers, return_index=True)
    is_mixed = np.bincount(numbers, values != values[firsts][numbers]) > 0
    mixed: BoolArray = is_mixed[numbers]
    return mixed


def find_repeated(numbers: IntArray, among: BoolArray) -> IntArray:
    """Return the place of the first image that equals each image; -1 if it is the first, or not in the mask `among`."""
    originals = np.full(len(numbers), -1)
    places = np.flatnonzero(among)
    _, firsts, inverse = np.unique(numbers[places], return_index=True, return_inverse=True)
    originals[places] = np.where(firsts[inverse] == np.arange(len(places)), -1, places[firsts[inverse]])
    return originals


def pair_contradictions(
    numbers: IntArray, contradictory: BoolArray, labels: UInt16Array, is_test: BoolArray
) -> Iterator[list[tuple[int, int]]]:
    """Yield, for each set of equal images that contradict each other, pairs of an image and one that it contradicts."""
    sets = defaultdict(list)
    for place in np.flatnonzero(contradictory).tolist():
        sets[numbers[place]].append(place)

    def contradicts(one: int, other: int) -> bool:
        return bool(labels[one] != labels[other] or is_test[one] != is_test[other])

    for places in sets.values():
        first = places[0]
        second = next(place for place in places if contradicts(first, place))
        yield [(place, first if contradicts(place, first) else second) for place in places]
