import numpy as np
import pytest

from pipeline.evaluation.strangers import choose_places, draw_letters, draw_strangers, has_digits, read_other_hand
from serving.images import INK, Form


@pytest.mark.parametrize("form", [INK, Form(20, 24, 3, "stretch")], ids=["ink", "colour"])
def test_strangers_have_the_images_form(form):
    images = np.full((4, *form.shape), 7, np.uint8)
    strangers = draw_strangers(images, form, are_digits=True, random=np.random.default_rng(0))
    assert list(strangers) == ["noise", "inverted", "blank", "letters"]
    for kind in strangers.values():
        assert kind.dtype == np.uint8
        assert kind.shape[1:] == form.shape
    assert (strangers["inverted"] == 248).all()
    assert strangers["blank"].shape[0] == 1
    assert not strangers["blank"].any()
    assert 110 < strangers["noise"].mean() < 145


def test_letters_are_no_strangers_to_letters():
    images = np.zeros((4, 28, 28), np.uint8)
    assert "letters" not in draw_strangers(images, INK, are_digits=False, random=np.random.default_rng(0))


def test_letters_are_light_ink_in_mnists_form_and_all_different():
    letters = draw_letters(INK)
    assert len(np.unique(letters, axis=0)) == len(letters) == 108
    assert (letters.max(axis=(1, 2)) > 200).all()
    assert not letters[:, 0].any()


def test_the_other_hand_is_scans_at_equal_distances():
    images, labels = read_other_hand(100)
    assert images.shape == (100, 28, 28)
    assert np.bincount(labels, minlength=10).min() >= 5
    again, _ = read_other_hand(100)
    assert images.tobytes() == again.tobytes()


def test_places_are_at_equal_distances_and_all_if_they_are_few():
    assert choose_places(10, 5).tolist() == [0, 2, 4, 6, 8]
    assert choose_places(3, 5).tolist() == [0, 1, 2]
    assert choose_places(0, 5).tolist() == []


def test_only_the_ten_digits_are_digits():
    assert has_digits(list("0123456789"))
    assert not has_digits(list("9876543210"))
    assert not has_digits(["cat", "dog"])
