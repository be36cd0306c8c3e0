"""A model's card, which is shown with its version in MLflow and on the page on all models."""

from typing import Any

import pytest

from pipeline.config.credits import NO_CREDIT, Credit
from pipeline.tracking.model_card import Card, describe_augmentation, describe_commit, describe_network, make_card
from tests.helpers.trained import DATASET

RECEIPT = {
    "model": "tiny",
    "seed": 7,
    "parameters": {"family": "dense", "optimizer": {"name": "Adam"}, "augmentation": {"rotation": 10.0, "zoom": 0.0}},
    "epochs": [{"seconds": 1.5}, {"seconds": 1.5}],
    "git": {"commit": "3" * 40, "dirty": False},
}
METRICS = {"parameters": 7840, "val_accuracy": 1.0, "test_accuracy": 0.75}
SPLITS = {"train": {"images": 3000}, "val": {"images": 2}, "test": {"images": 4}}


def write(metrics: dict[str, Any] | None = None, credit: Credit = NO_CREDIT, **dataset: Any) -> Card:
    return make_card(RECEIPT, METRICS | (metrics or {}), DATASET | {"splits": SPLITS} | dataset, credit)


def test_a_card_says_use_data_training_figures_limits_and_licence():
    card = write(credit=Credit(source="A. Botanist, Leaves.", licence="CC BY 4.0"))
    assert list(card) == ["Intended use", "Data", "Training", "Figures", "Limits", "Licence"]
    assert "the 10 classes of digits an image shows; it takes 28×28 pixels, from 0 to 255." in card["Intended use"][0]
    assert card["Data"] == [
        "digits, images: 3,000 to train, 2 to choose by, 4 to test.",
        "Source: A. Botanist, Leaves.",
    ]
    assert card["Training"] == [
        "tiny: a network of the family dense, trained by Adam; 7,840 parameters.",
        f"Trained 2 epochs with seed 7, in 3 s; from commit {'3' * 12}.",
        "Augmentation: rotation 10.0.",
    ]
    assert card["Figures"] == [
        "model.onnx, which is served, is right on 100.00% of 2 validation images (95 %: 34.24 to 100.00) and on "
        "75.00% of 4 test images (95 %: 30.06 to 95.44)."
    ]
    assert card["Licence"] == ["Of the data: CC BY 4.0."]


def test_what_nobody_stated_is_said_to_be_so():
    card = write()
    assert (card["Data"][1], card["Licence"]) == ("Source: not stated.", ["Of the data: not stated."])


def test_further_files_and_seeds_have_their_figures():
    seeds = {"seeds_per_model": 3, "test_accuracy_mean": 0.74, "test_accuracy_deviation": 0.015}
    figures = write({"int8_val_accuracy": 0.5, "int8_test_accuracy": 0.25} | seeds)["Figures"]
    assert figures[1].startswith("model_int8.tflite is right on 50.00% of 2 validation images")
    assert figures[2] == "Over 3 seeds, on 74.00% ± 1.50 of the test images."


def test_the_limits_have_what_was_measured_beyond_the_data_set():
    assert len(write()["Limits"]) == 2
    limits = write({"corrupted_accuracy": 0.5, "stranger_auroc": 0.875})["Limits"]
    assert limits[2] == "Of test images that are corrupted as in MNIST-C, it is right on 50.00%."
    assert limits[3].startswith("In 87.50% of pairs")


def test_pixels_of_colour_are_named():
    assert "8×9 pixels, red, green and blue from 0 to 255" in write(image_shape=[8, 9, 3])["Intended use"][0]


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"family": "perceptron"}, "a network of the family perceptron"),
        (
            {"family": "cnn", "convolutions": [{}, {}], "dense": [{}], "optimizer": {"name": "SGD"}},
            "a network of the family cnn with 2 convolutions and 1 dense layer, trained by SGD",
        ),
    ],
)
def test_a_network_is_named_by_its_layers(parameters, text):
    assert describe_network(parameters) == text


@pytest.mark.parametrize("parameters", [{}, {"augmentation": {"translation": 0, "horizontal_flip": False}}])
def test_where_images_are_not_changed_the_card_says_so(parameters):
    assert describe_augmentation(parameters) == "Augmentation: none"


def test_uncommitted_changes_are_named_and_so_is_a_commit_that_nobody_knows():
    assert describe_commit({"commit": "a" * 40, "dirty": False}) == f"from commit {'a' * 12}"
    assert "uncommitted.diff" in describe_commit({"commit": "a" * 40, "dirty": True})
    assert describe_commit({"commit": None, "dirty": None}) == "the commit is not known"
