"""Which values are usual for the answers to validation images."""

import json

import numpy as np
import pytest

from pipeline.evaluation.doubt import UNSURE_SHARE, fit
from serving.doubt import find_doubts

COUNT = 2000


def make_answers(seed: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Images blurred by many widths, and probabilities of many kinds; the last class is never the answer."""
    random = np.random.default_rng(seed)
    places = np.abs(np.arange(28) - 14)
    profiles = np.exp(-((places / random.uniform(2, 6, (COUNT, 1))) ** 2))
    logits = random.normal(0, 1, (COUNT, classes)) + 6 * np.eye(classes)[random.integers(0, classes - 1, COUNT)]
    logits[:, -1] -= 4
    exponentials = np.exp(logits)
    return 255 * profiles[:, :, None] * profiles[:, None], exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", [0, 1])
def test_its_share_of_images_is_unsure_of_these_and_of_others_like_them(seed):
    usual = fit(*make_answers(0), is_ink=True)
    unsure = sum(doubt is not None for doubt in find_doubts(*make_answers(seed), usual, is_ink=True))
    assert 0.4 * UNSURE_SHARE <= unsure / COUNT <= 2 * UNSURE_SHARE


def test_images_in_the_order_of_their_classes_give_the_same():
    pixels, probabilities = make_answers(0)
    order = np.argsort(probabilities.argmax(axis=1), kind="stable")
    assert fit(pixels[order], probabilities[order], True)["limit"] == pytest.approx(
        fit(pixels, probabilities, True)["limit"]
    )


def test_a_class_that_is_never_answered_makes_no_gap():
    pixels, probabilities = make_answers(0)
    assert not (probabilities.argmax(axis=1) == 2).any()
    usual = fit(pixels, probabilities, is_ink=True)
    assert np.isfinite(usual["means"][2]).all()
    assert find_doubts(pixels[:1], np.array([[0.0, 0.0, 1.0]]), usual, is_ink=True) != [None]


@pytest.mark.parametrize("is_ink", [True, False])
@pytest.mark.parametrize("count", [2, 7])
def test_a_few_images_are_enough_for_numbers(count, is_ink):
    pixels, probabilities = make_answers(0)
    usual = fit(pixels[:count], probabilities[:count], is_ink)
    assert "NaN" not in json.dumps(usual)
    assert len(find_doubts(pixels[:5], probabilities[:5], usual, is_ink)) == 5


def test_the_numbers_are_short():
    usual = fit(*make_answers(0), is_ink=True)
    numbers = [*np.ravel(usual["means"]), *usual["scale"], *np.ravel(usual["precision"]), usual["limit"]]
    assert all(float(f"{number:.6g}") == number for number in numbers)
