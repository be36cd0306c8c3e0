"""The counts over the validation images with which the app compares."""

import json

import numpy as np
import pytest

from pipeline.evaluation.drift import MIN_IMAGES, fit
from serving.drift import count, describe, measure, place


def make_answers(images: int, classes: int = 10, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise images of many brightnesses, and answers with many confidences."""
    random = np.random.default_rng(seed)
    pixels = (random.random((images, 12, 12)) * random.integers(0, 256, (images, 1, 1))).astype(np.uint8)
    logits = random.normal(0, 1, (images, classes)) + 3 * np.eye(classes)[random.integers(0, classes, images)]
    exponentials = np.exp(logits)
    return pixels, (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)


def measure_all(reference: dict, pixels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    found = describe(pixels, probabilities.argmax(axis=1), probabilities.max(axis=1), is_ink=True)
    edges = {name: np.array(bins["edges"]) for name, bins in reference.items()}
    counts = {name: count(place(found[name], edges[name]), edges[name]) for name in reference}
    return {name: measure(counts[name], np.array(reference[name]["counts"])) for name in reference}


@pytest.mark.parametrize(("images", "bins"), [(5000, 10), (180, 6), (MIN_IMAGES, 3)])
def test_bins_hold_about_as_many_images_each_and_fewer_images_get_fewer(images, bins):
    reference = fit(*make_answers(images), is_ink=True)
    counts = reference["brightness"]["counts"]
    assert (len(counts), sum(counts)) == (bins, images)
    assert max(counts) <= 1.2 * min(counts)
    assert {sum(found["counts"]) for found in reference.values()} == {images}


@pytest.mark.parametrize("images", [5000, 180, MIN_IMAGES])
def test_images_of_the_same_kind_do_not_drift_and_others_do(images):
    reference = fit(*make_answers(images), is_ink=True)
    same, (pixels, probabilities) = make_answers(500, seed=1), make_answers(500, seed=2)
    assert max(measure_all(reference, *same).values()) < 0.25
    changed = measure_all(reference, pixels // 3, np.roll(probabilities, 1, axis=0))
    assert changed["brightness"] > 0.25
    assert changed["class"] < 0.25
    assert measure_all(reference, pixels, np.sort(probabilities, axis=1))["class"] > 0.25


def test_equal_values_share_a_bin():
    pixels = np.zeros((200, 12, 12), np.uint8)
    pixels[:, 2:10, 3:5] = 255
    reference = fit(pixels, make_answers(200)[1], is_ink=True)
    assert reference["height"] == {"edges": [8.0], "counts": [200, 0]}


def test_a_class_that_is_never_answered_has_a_bin_of_its_own():
    probabilities = make_answers(300)[1]
    probabilities[:, 9] = 0
    assert fit(make_answers(300)[0], probabilities, True)["class"]["counts"][9] == 0


@pytest.mark.parametrize("classes", [11, 100, 1000])
def test_many_classes_share_bins(classes):
    reference = fit(*make_answers(3000, classes), is_ink=False)
    assert 5 <= len(reference["class"]["counts"]) <= 10
    same = measure_all(reference, *make_answers(500, classes, seed=1))
    assert same["class"] < 0.25


def test_certain_answers_that_become_less_certain_drift():
    pixels, probabilities = make_answers(600)
    certain = np.where(np.arange(10) == probabilities.argmax(axis=1)[:, np.newaxis], 1 - 1e-6, 1e-7)
    reference = fit(pixels, certain, is_ink=True)
    assert measure_all(reference, pixels, certain - 1e-6)["confidence"] < 0.01
    assert measure_all(reference, pixels, np.where(certain > 0.5, 0.99, 1e-3))["confidence"] > 0.25


def test_few_images_say_nothing():
    assert fit(*make_answers(MIN_IMAGES - 1), is_ink=True) is None


def test_the_reference_is_small_and_its_numbers_short():
    reference = fit(*make_answers(5000), is_ink=True)
    assert len(json.dumps(reference)) < 3000
    assert all(float(f"{edge:.4g}") == edge for found in reference.values() for edge in found["edges"])
