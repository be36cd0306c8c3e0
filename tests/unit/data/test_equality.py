import numpy as np

from pipeline.data.equality import find_differing, find_repeated, hash_images, number_equal, pair_contradictions

NUMBERS = np.array([2, 0, 2, 1, 2, 0])
LABELS = np.array([0, 5, 0, 0, 4, 5], np.uint16)
IS_TEST = np.array([False, False, False, False, False, True])


def test_equal_images_have_equal_hashes_and_numbers():
    images = np.random.default_rng(0).integers(0, 256, (100, 8, 8, 3)).astype(np.uint8)
    images[70] = images[3]
    images[50, 0, 0, 0] = images[3, 0, 0, 0]
    hashes = hash_images(images)
    assert (hashes.dtype, hashes.shape) == (np.uint64, (100, 2))
    numbers = number_equal(hashes)
    assert sorted(set(numbers.tolist())) == list(range(99))
    assert numbers[70] == numbers[3]


def test_hashes_that_share_a_half_differ():
    assert len(set(number_equal(np.array([[1, 2], [1, 3], [4, 2], [1, 2]], np.uint64)).tolist())) == 3


def test_no_images_have_no_numbers():
    assert number_equal(hash_images(np.zeros((0, 8, 8), np.uint8))).tolist() == []


def test_values_that_differ_among_equal_images_are_found():
    assert np.flatnonzero(find_differing(NUMBERS, LABELS)).tolist() == [0, 2, 4]
    assert np.flatnonzero(find_differing(NUMBERS, IS_TEST)).tolist() == [1, 5]


def test_the_first_of_equal_images_is_found_among_those_that_are_asked_for():
    assert find_repeated(NUMBERS, np.ones(6, bool)).tolist() == [-1, -1, 0, -1, 0, 1]
    assert find_repeated(NUMBERS, np.array([False, False, True, True, True, True])).tolist() == [-1, -1, -1, -1, 2, -1]


def test_each_contradictory_image_is_paired_with_one_that_it_contradicts():
    contradictory = find_differing(NUMBERS, LABELS) | find_differing(NUMBERS, IS_TEST)
    pairs = list(pair_contradictions(NUMBERS, contradictory, LABELS, IS_TEST))
    assert pairs == [[(0, 4), (2, 4), (4, 0)], [(1, 5), (5, 1)]]
