import json
from pathlib import Path

import numpy as np
import pytest

from pipeline import train
from pipeline.cli import UserError
from pipeline.config.model import Augmentation, DenseModel, Named
from pipeline.tracking import trained_model
from pipeline.training import networks

BLOCK = DenseModel.model_validate(
    {"family": "dense", "dense": [{"units": 4}], "optimizer": "SGD", "batch_size": 10, "epochs": 2}
)


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """A prepared data set whose images are told apart by their first pixel."""
    for split, count in (("train", 95), ("val", 20)):
        (tmp_path / split).mkdir()
        images = np.zeros((count, 28, 28, 1), np.float32)
        images[:, 0, 0, 0] = np.arange(count)
        np.save(tmp_path / split / "images.npy", images)
        np.save(tmp_path / split / "labels.npy", np.eye(10, dtype=np.float32)[np.arange(count) % 10])
    monkeypatch.setattr(train, "PREPARED", tmp_path)
    return tmp_path


def epoch(batches) -> list[int]:
    return [int(value) for images, _ in batches for value in images.numpy()[:, 0, 0, 0]]


def test_each_epoch_has_every_image_once_in_an_order_of_its_own(prepared):
    batches = train.training_batches(*train.load_split("train"), BLOCK, seed=0)
    first, second = epoch(batches), epoch(batches)
    assert sorted(first) == sorted(second) == list(range(95))
    assert first != second
    assert first != sorted(first)


def test_the_order_repeats_with_the_seed(prepared):
    runs = [
        [epoch(batches), epoch(batches)]
        for seed in (0, 0, 1)
        for batches in [train.training_batches(*train.load_split("train"), BLOCK, seed)]
    ]
    assert runs[0] == runs[1] != runs[2]


def test_augmentation_is_drawn_anew_in_each_epoch_and_repeats_with_the_seed(prepared):
    block = BLOCK.model_copy(update={"augmentation": Augmentation(translation=2)})
    images, labels = train.load_split("train")
    images = np.repeat(images[50:51], 95, axis=0)  # so that only the augmentation tells two epochs apart

    def epochs(seed: int) -> list[np.ndarray]:
        batches = train.training_batches(images, labels, block, seed)
        return [np.concatenate([batch.numpy() for batch, _ in batches]) for _ in range(2)]

    first, second = epochs(0)
    assert (first != second).any()
    np.testing.assert_array_equal(epochs(0), [first, second])


def test_calibration_draws_training_images_by_the_seed(prepared, monkeypatch):
    def drawn(seed: int) -> list[float]:
        return (train.calibration_pixels(seed)[:, 0, 0] / 255).round().tolist()

    assert drawn(0) == list(range(95))
    monkeypatch.setattr(train, "CALIBRATION_IMAGES", 10)
    assert len(set(drawn(0))) == 10
    assert drawn(0) == drawn(0) != drawn(1)


def test_every_epoch_is_reported(prepared, capsys):
    epochs = train.fit("some", networks.build(BLOCK, 10), BLOCK, seed=0)
    assert [entry["epoch"] for entry in epochs] == [1, 2]
    assert all(set(entry["metrics"]) == {"loss", "accuracy", "val_loss", "val_accuracy"} for entry in epochs)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[:2] for line in lines] == [["some", "epoch 1/2"], ["some", "epoch 2/2"]]


def test_a_learning_rate_that_is_far_too_large_fails(prepared):
    wild = BLOCK.model_copy(update={"dense": (), "optimizer": Named(name="SGD", arguments={"learning_rate": 1e38})})
    with pytest.raises(train.Diverged, match=r"some diverged in epoch \d.*learning_rate in models.some"):
        train.fit("some", networks.build(wild, 10), wild, seed=0)


def test_weights_that_are_lost_behind_a_finite_loss_fail(prepared):
    images = np.load(prepared / "train" / "images.npy")
    images[3] = np.nan
    np.save(prepared / "train" / "images.npy", images)
    with pytest.raises(train.Diverged, match="some diverged in epoch 1"):
        train.fit("some", networks.build(BLOCK, 10), BLOCK, seed=0)


TINY = {
    "family": "dense", "dense": [{"units": 6, "dropout": 0.5, "batch_normalization": True}], "optimizer": "Adam",
    "augmentation": {"translation": 1}, "batch_size": 10, "epochs": 2,
}  # fmt: skip


def trained_files(seed: int, repeats: int) -> dict[str, bytes]:
    """Run the stage here on the model `tiny`, in which all that a seed decides plays a part; the files it publishes."""
    params = {
        "dataset": "digits",
        "validation_images": 20,
        "presets": ["tiny"],
        "models": {"tiny": TINY},
        "promotion": {},
    }
    Path("params.yaml").write_text(json.dumps(params | {"seed": seed, "seeds_per_model": repeats}))
    train.main("tiny")
    folder = Path("models/tiny")
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_repeats_add_seeds_and_change_nothing_else(prepared, monkeypatch, capsys):
    monkeypatch.chdir(prepared)
    (prepared / "dataset.json").write_text('{"name": "digits", "classes": 10}')
    once, next_seed, repeated = trained_files(0, 1), trained_files(1, 1), trained_files(0, 3)
    told = {"receipt.json", "further_seeds/seeds.json"}  # the receipt also has times
    assert set(once) == {"model.keras", "model.onnx", "model.tflite", "model_int8.tflite", "history.csv"} | told
    assert {name: repeated[name] for name in once if name not in told} == {
        name: content for name, content in once.items() if name not in told
    }
    assert set(repeated) - set(once) == {"further_seeds/1.onnx", "further_seeds/2.onnx"}
    assert repeated["further_seeds/1.onnx"] == next_seed["model.onnx"] != once["model.onnx"]
    assert repeated["further_seeds/2.onnx"] != repeated["further_seeds/1.onnx"]
    assert json.loads(once["further_seeds/seeds.json"]) == {"further_seeds": []}
    assert json.loads(repeated["further_seeds/seeds.json"]) == {"further_seeds": [1, 2]}
    assert "tiny  again, with seed 2" in capsys.readouterr().out

    receipt = trained_model.read_receipt(Path("models/tiny"))
    assert (receipt["seed"], receipt["seeds_per_model"], len(receipt["epochs"])) == (0, 3, 2)
    assert set(receipt["files_sha256"]) == set(repeated) - {"receipt.json"}
    Path("models/tiny/repeats/2.onnx").write_bytes(b"another")
    with pytest.raises(UserError, match=r"models/tiny/repeats/2.onnx is not the file that train@tiny wrote"):
        trained_model.read_receipt(Path("models/tiny"))
