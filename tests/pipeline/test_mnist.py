"""The published presets on real MNIST, where a mirror answers."""

import json

import pytest


def test_the_data_are_mnists(mnist):
    description = json.loads((mnist.folder / "data/prepared/dataset.json").read_text())
    assert {name: split["images"] for name, split in description["splits"].items()} == {
        "train": 55_000, "val": 5_000, "test": 10_000,
    }  # fmt: skip
    # The published counts, mean and deviation of the test set.
    assert description["splits"]["test"]["per_class"] == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert description["splits"]["test"]["mean"] == pytest.approx(0.1325, abs=1e-4)
    assert description["splits"]["test"]["deviation"] == pytest.approx(0.3105, abs=1e-4)


@pytest.mark.parametrize(("model", "accuracy"), [("dense_512", 0.975), ("cnn_fast", 0.992)])
def test_a_preset_reaches_its_accuracy(mnist, model, accuracy):
    metrics = json.loads((mnist.folder / f"reports/{model}/metrics.json").read_text())
    assert metrics["test_accuracy"] >= accuracy
    assert metrics["val_accuracy"] >= accuracy - 0.005


def test_the_better_one_is_the_champion(mnist):
    assert json.loads((mnist.folder / "registry/registry.json").read_text())["champion"]["model"] == "cnn_fast"
