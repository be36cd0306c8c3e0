"""The stage `train` with several seeds, and networks of every kind, trained as the stage trains them."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline import train
from pipeline.cli import UserError
from pipeline.commands import verify
from pipeline.config import keras_names
from pipeline.config.params import load
from pipeline.files import sha256_of
from pipeline.paths import Workspace
from pipeline.tracking import trained_model
from tests.helpers.configs import ACTIVATION_ARGUMENTS, MNIST_SHAPE, PUBLISHED_PARAMETERS, compile_dense
from tests.helpers.datasets import write_numbered_data

# This model uses everything that a seed decides.
TINY = {
    "family": "dense", "dense": [{"units": 6, "dropout": 0.5, "batch_normalization": True}], "optimizer": "Adam",
    "augmentation": {"translation": 1}, "batch_size": 10, "epochs": 2,
}  # fmt: skip


def train_tiny(workspace: Workspace, seed: int, seeds: int) -> dict[str, bytes]:
    """Run the stage for the model `tiny`; return the files that it publishes."""
    params = {
        "dataset": "digits",
        "threads": 2,
        "validation_images": 20,
        "presets": ["tiny"],
        "models": {"tiny": TINY},
        "promotion": {},
    }
    workspace.params.write_text(json.dumps(params | {"seed": seed, "seeds_per_model": seeds}))
    train.main("tiny", workspace)
    return read_files(workspace.model("tiny"))


def read_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_further_seeds_add_files_and_change_nothing_else(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    workspace = Workspace(tmp_path)
    write_numbered_data(workspace.prepared, train=95, val=20)
    workspace.dataset.write_text('{"name": "digits", "classes": 10}')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    next_seed, repeated = train_tiny(workspace, 1, 1), train_tiny(workspace, 0, 3)
    once = read_files(verify.train_again("tiny", workspace, elsewhere))  # in a process that hasn't used TensorFlow yet
    differing = {"receipt.json", "further_seeds/seeds.json"}  # the receipt contains times
    assert (
        set(once)
        == {"model.keras", "model.onnx", "model.tflite", "model_int8.tflite", "history.csv", "augmented.npy"}
        | differing
    )
    assert {name: repeated[name] for name in once if name not in differing} == {
        name: content for name, content in once.items() if name not in differing
    }
    assert set(repeated) - set(once) == {"further_seeds/1.onnx", "further_seeds/2.onnx"}
    assert repeated["further_seeds/1.onnx"] == next_seed["model.onnx"] != once["model.onnx"]
    assert repeated["further_seeds/2.onnx"] != repeated["further_seeds/1.onnx"]
    assert json.loads(once["further_seeds/seeds.json"]) == {"further_seeds": []}
    assert json.loads(repeated["further_seeds/seeds.json"]) == {"further_seeds": [1, 2]}
    assert "tiny  again, with seed 2" in capsys.readouterr().out
    history = once["history.csv"].decode().splitlines()
    assert history[0] == "epoch,loss,accuracy,val_loss,val_accuracy"
    assert [line.split(",")[0] for line in history[1:]] == ["1", "2"]

    folder = workspace.model("tiny")
    receipt = trained_model.read_receipt(folder)
    assert (receipt["seed"], receipt["seeds_per_model"], len(receipt["epochs"])) == (0, 3, 2)
    assert (receipt["model"], receipt["dataset"]) == ("tiny", "digits")
    assert receipt["data_sha256"] == sha256_of(workspace.dataset)
    assert receipt["parameters"]["batch_size"] == 10
    assert receipt["started"] < receipt["epochs"][0]["finished"]
    assert set(receipt["files_sha256"]) == set(repeated) - {"receipt.json"}
    (folder / "further_seeds/2.onnx").write_bytes(b"another")
    with pytest.raises(UserError, match=r"models/tiny/further_seeds/2.onnx is not the file that train@tiny wrote"):
        trained_model.read_receipt(folder)


def test_an_unknown_model_is_refused():
    with pytest.raises(UserError, match="unknown model 'cnnn'"):
        train.main("cnnn", Workspace(Path()))


@pytest.mark.parametrize("name", keras_names.OPTIMIZERS)
def test_every_optimizer_takes_a_step(name):
    fit_once({"optimizer": {"name": name, "learning_rate": 0.01}})


@pytest.mark.parametrize("name", keras_names.LOSSES)
def test_every_loss_trains(name):
    fit_once({"loss": name})


@pytest.mark.parametrize("name", keras_names.ACTIVATIONS)
def test_every_activation_takes_its_arguments(name):
    arguments = {argument: ACTIVATION_ARGUMENTS[argument] for argument in keras_names.ACTIVATIONS[name]}
    layers = [{"units": 3, "activation": {"name": name, **arguments}}, {"units": 3, "activation": name}]
    fit_once({"dense": layers})


def test_every_initializer_trains():
    """All of them in one network, whose graph is built once; the unit tests try them one by one."""
    fit_once({"dense": [{"units": 3, "kernel_initializer": name} for name in keras_names.INITIALIZERS]})


def fit_once(section: dict) -> None:
    """Train on one batch by a compiled graph; the unit tests of networks do the same step by step."""
    network, images, labels = compile_dense(section)
    history = network.fit(images, labels, batch_size=8, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


# From params.yaml: the figures of our own models have changed since tests/helpers/params.yaml was written.
OWN_PARAMETERS = {
    "cnn_fast": 41_242, "cnn_accurate": 35_802, "cnn_tiny": 9_862, "dense_best": 1_869_834, "cnn_best": 5 * 67_458,
}  # fmt: skip


@pytest.mark.parametrize(("preset", "parameters"), (PUBLISHED_PARAMETERS | OWN_PARAMETERS).items())
def test_the_presets_have_the_published_number_of_parameters(preset, parameters):
    """The presets of params.yaml; tests/unit/ builds fixed networks that don't depend on params.yaml."""
    from pipeline.training import networks

    assert networks.build_network(load().models[preset], MNIST_SHAPE, 10).count_params() == parameters
