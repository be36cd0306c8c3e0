"""The presets on real MNIST, if a mirror answers, have the accuracy that params.yaml states for each."""

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from ruamel.yaml import YAML

from tests.helpers.project import QUICK_PRESETS, Project, fork, train_once
from tests.helpers.stated import read_stated_accuracies

STATED = read_stated_accuracies(Path("params.yaml").read_text())  # has each preset: tests/unit/config/test_params.py
OTHERS = [model for model in YAML(typ="safe").load(Path("params.yaml"))["presets"] if model not in QUICK_PRESETS]


@pytest.mark.parametrize("model", QUICK_PRESETS)
def test_a_preset_reaches_the_stated_accuracy(mnist, model):
    check(mnist, model)


@pytest.mark.presets
@pytest.mark.parametrize("model", OTHERS)
def test_every_other_preset_does_so_too(mnist, tmp_path_factory, model):
    check(train_once(tmp_path_factory, "others", lambda content: content.update(presets=OTHERS)), model)


def check(project: Project, model: str) -> None:
    """Compare the accuracy on the test images, in per cent, with the stated accuracy."""
    metrics = json.loads((project.folder / f"reports/{model}/metrics.json").read_text())
    stated, tolerance = STATED[model]
    assert 100 * metrics["test_accuracy"] == pytest.approx(stated, abs=tolerance)


def test_the_data_are_mnists(mnist):
    description = json.loads((mnist.folder / "data/prepared/dataset.json").read_text())
    assert {name: split["images"] for name, split in description["splits"].items()} == {
        "train": 55_000, "val": 5_000, "test": 10_000,
    }  # fmt: skip
    # The published counts, mean and standard deviation of the test set.
    assert description["splits"]["test"]["per_class"] == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert description["splits"]["test"]["mean"] == pytest.approx(0.1325, abs=1e-4)
    assert description["splits"]["test"]["deviation"] == pytest.approx(0.3105, abs=1e-4)


def test_another_data_sets_section_needs_no_network(mnist, tmp_path):
    project = fork(mnist, tmp_path)
    leaves = {"folder": "pictures/leaves", "height": 64, "width": 64}
    project.edit(lambda content: content.update(datasets={"leaves": leaves}))
    no_network = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "DATASET_MIRROR": ""}
    project.run("dvc", "repro", "preprocess", **no_network)
    shutil.rmtree(project.folder / "data/raw")
    project.edit(lambda content: content["datasets"]["leaves"].update(height=32))
    project.run("python", "-m", "pipeline.commands.offline", **no_network)
    assert project.parameters()["dataset"] == "mnist"


def test_the_better_one_is_the_champion(mnist):
    client = MlflowClient(f"sqlite:///{mnist.folder}/mlflow.db")
    assert client.get_model_version_by_alias("mnist", "champion").tags["model"] == "cnn_fast"
