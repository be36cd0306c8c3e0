import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.data.prepared import Split
from pipeline.evaluation import robustness
from pipeline.evaluation.corruptions import CORRUPTIONS
from pipeline.evaluation.robustness import choose_images, list_conditions, measure, measure_auroc, summarise
from serving.images import INK, Form

DIGITS = {"name": "mnist", "class_names": list("0123456789"), "resize": "ink"}
PICTURES = {"name": "leaves", "class_names": ["oak", "maple"], "resize": "stretch"}


def make_split(*shape: int, classes: int) -> Split:
    """Images with a bright patch, at the place of their label."""
    images = np.zeros(shape, np.uint8)
    labels = np.arange(shape[0]) % classes
    for image, label in zip(images, labels, strict=True):
        image[4 : 7 + label, 4 + label : 8 + label] = 255
    return Split(images, labels.astype(np.uint16), np.arange(shape[0]))


def play(classes: int):
    """A model that sees where the ink is; the more ink there is, the surer it is."""

    def predict(pixels: np.ndarray) -> np.ndarray:
        ink = pixels.reshape(len(pixels), pixels.shape[1], pixels.shape[2], -1).mean(axis=(1, 3))
        score = np.stack([ink[:, 6 + label] for label in range(classes)], axis=1) / 64
        exponents = np.exp(score)
        return (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float32)

    return predict


def measure_play(split: Split, dataset: dict) -> pd.DataFrame:
    predict = play(len(dataset["class_names"]))
    pixels = split.pixels[..., 0] if split.pixels.shape[-1] == 1 else split.pixels
    return measure(predict, split, predict(pixels), dataset).set_index("condition")


@pytest.fixture(scope="module")
def digits() -> pd.DataFrame:
    return measure_play(make_split(40, 28, 28, 1, classes=10), DIGITS)


def test_digits_are_measured_under_every_condition(digits):
    assert digits.groupby("group", sort=False).size().to_dict() == {
        "clean": 1, "corruption": 15, "move": 8, "stroke": 2, "half turn": 1, "other hand": 1, "stranger": 4,
    }  # fmt: skip
    assert set(CORRUPTIONS) < set(digits.index)
    assert digits.loc["clean", "kept"] == 1
    assert digits.loc["shift_3", "kept"] < 1
    assert digits.loc["six_nine", "images"] == 8
    assert digits.loc["digits_scans", "images"] == 1000
    assert digits["confidence"].between(0.1, 1).all()
    shares = digits[["accuracy", "kept", "auroc"]]
    assert ((shares >= 0) & (shares <= 1) | shares.isna()).all(axis=None)


def test_what_has_no_meaning_is_missing(digits):
    strangers = digits["group"] == "stranger"
    assert digits["accuracy"].isna().tolist() == strangers.tolist()
    assert digits["auroc"].notna().tolist() == strangers.tolist()
    assert digits["kept"].isna().tolist() == digits["group"].isin(["half turn", "other hand", "stranger"]).tolist()


def test_the_same_images_give_the_same_bytes(digits):
    again = measure_play(make_split(40, 28, 28, 1, classes=10), DIGITS)
    assert again.to_csv() == digits.to_csv()


@pytest.mark.parametrize("shape", [(20, 30, 34, 3), (20, 30, 34, 1), (20, 28, 28, 3)], ids=str)
def test_pictures_are_moved_but_not_corrupted(shape):
    found = measure_play(make_split(*shape, classes=2), PICTURES)
    assert set(found["group"]) == {"clean", "move", "stranger"}
    assert list(found.index[-3:]) == ["noise", "inverted", "blank"]
    assert set(summarise(found)) == {"moved_accuracy", "stranger_auroc"}


def test_scans_are_no_other_hand_to_a_model_of_scans():
    found = measure_play(make_split(20, 28, 28, 1, classes=10), DIGITS | {"name": "digits"})
    assert "digits_scans" not in found.index


def test_a_turned_six_should_be_a_nine():
    """A model that tells sixes from nines by whether their ink is at the top or at the bottom."""
    images = np.zeros((2, 28, 28, 1), np.uint8)
    images[0, 20:24, 10:18], images[1, 4:8, 10:18] = 255, 255
    split = Split(images, np.array([6, 9], np.uint16), np.arange(2))

    def predict(pixels: np.ndarray) -> np.ndarray:
        is_low = pixels[:, 14:].sum(axis=(1, 2)) > pixels[:, :14].sum(axis=(1, 2))
        return np.eye(10, dtype=np.float32)[np.where(is_low, 6, 9)]

    found = measure(predict, split, predict(images[..., 0]), DIGITS).set_index("condition")
    assert found.loc["six_nine", "accuracy"] == 1
    unmoved = np.eye(10, dtype=np.float32)[[6, 9]]
    stubborn = measure(lambda pixels: unmoved[np.arange(len(pixels)) % 2], split, unmoved, DIGITS)
    assert stubborn.set_index("condition").loc["six_nine", "accuracy"] == 0


def test_changes_keep_form_and_type():
    for form in (INK, Form(30, 20, 3, "stretch")):
        images = np.random.default_rng(0).integers(0, 256, (9, *form.shape)).astype(np.uint8)
        for name, (_, change) in list_conditions(form).items():
            changed = change(images, robustness.seed(name))
            assert (changed.dtype, changed.shape) == (np.uint8, images.shape), name


def test_a_thicker_stroke_has_a_pixel_more_and_a_thinner_one_half_a_pixel_less():
    stroke = np.zeros((1, 28, 28), np.uint8)
    stroke[:, 4:24, 12:15] = 254
    changed = {name: list_conditions(INK)[name][1](stroke, robustness.seed(name)) for name in ("thicker", "thinner")}
    assert {name: image[0, 14].sum() / 254 for name, image in changed.items()} == {"thicker": 4, "thinner": 2.5}


def test_images_move_in_all_directions_in_turn():
    images = np.zeros((8, 28, 28), np.uint8)
    images[:, 14, 14] = 255
    moved = list_conditions(INK)["shift_2"][1](images, robustness.seed("shift_2"))
    places = {(row - 14, column - 14) for _, row, column in np.argwhere(moved)}
    assert places == {(down, right) for down in (-2, 0, 2) for right in (-2, 0, 2)} - {(0, 0)}


def test_images_turn_to_both_sides():
    images = np.zeros((2, 28, 28), np.uint8)
    images[:, 4:24, 13:15] = 255
    first, second = list_conditions(INK)["turn_20"][1](images, robustness.seed("turn_20"))
    np.testing.assert_allclose(first.astype(int), second[:, ::-1], atol=1)
    assert first[5, :13].sum() > 255 > first[5, 13:].sum()  # the first move is to the left


def test_a_thousand_images_are_changed_and_fewer_of_large_ones():
    assert len(choose_images((10_000, 28, 28, 1))) == 1000
    assert len(choose_images((360, 28, 28, 1))) == 360
    assert len(choose_images((10_000, 224, 224, 3))) == 66
    assert len(choose_images((10_000, 4000, 4000, 3))) == 1


@pytest.mark.parametrize("steps", [2, 7, 1000], ids=["many ties", "ties", "few ties"])
def test_auroc_is_scikit_learns(steps):
    random = np.random.default_rng(steps)
    known, strange = (random.integers(low, steps + low, 300) / (2 * steps) for low in (1, 0))
    expected = roc_auc_score(np.repeat([1, 0], 300), np.concatenate([known, strange]))
    assert measure_auroc(known, strange) == pytest.approx(expected, abs=1e-12)
    assert measure_auroc(known, known[:1]) == pytest.approx(
        roc_auc_score([*[1] * 300, 0], [*known, known[0]]), abs=1e-12
    )


def test_a_summary_is_the_mean_of_a_group(digits):
    found = summarise(digits)
    corrupted = digits.loc[list(CORRUPTIONS), "accuracy"]
    assert found["corrupted_accuracy"] == pytest.approx(corrupted.sum() / 15, abs=1e-6)
    assert found["stranger_auroc"] == pytest.approx(digits["auroc"].mean(), abs=1e-6)
    assert list(found) == ["corrupted_accuracy", "moved_accuracy", "digits_scans_accuracy", "stranger_auroc"]
