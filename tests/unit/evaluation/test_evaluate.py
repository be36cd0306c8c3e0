import json
from pathlib import Path

import numpy as np
import pytest

from pipeline import evaluate
from pipeline.cli import UserError
from tests.helpers.networks import bright_pixel_weights, write_onnx

VAL, TEST = 20, 40


@pytest.fixture(scope="module")
def litert_files(tmp_path_factory) -> dict[int, dict[str, bytes]]:
    """model.tflite and model_int8.tflite of the networks that are wrong at no digit, and at three."""
    import keras

    from pipeline.training import export

    pixels = 255 * np.eye(10, 784, dtype=np.float32).reshape(10, 28, 28)
    files = {}
    for wrong in (0, 3):
        folder = tmp_path_factory.mktemp("litert")
        layers = [keras.layers.Flatten(), keras.layers.Dense(10, "softmax", use_bias=False)]
        model = keras.Sequential([keras.Input((28, 28)), *layers])
        model.set_weights([bright_pixel_weights(wrong)])
        export.export(model, folder, {}, pixels, pixels)
        files[wrong] = {path.name: path.read_bytes() for path in folder.glob("*.tflite")}
    return files


@pytest.fixture
def workspace(tmp_path, monkeypatch, litert_files):
    """Images with one bright pixel, at the place of their label; models/dense_10 is always right."""
    (tmp_path / "params.yaml").write_text(Path("params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    for split, count in (("val", VAL), ("test", TEST)):
        folder = Path("data/prepared") / split
        folder.mkdir(parents=True)
        labels = np.arange(count) % 10
        images = np.zeros((count, 28, 28, 1), np.float32)
        images[np.arange(count), 0, labels, 0] = 1
        np.save(folder / "images.npy", images)
        np.save(folder / "labels.npy", np.eye(10, dtype=np.float32)[labels])
        np.save(folder / "index.npy", np.arange(count))
    Path("models/dense_10/further_seeds").mkdir(parents=True)
    Path("models/dense_10/history.csv").write_text("epoch,accuracy,val_accuracy\n1,0.5,0.5\n")
    write_onnx(Path("models/dense_10/model.onnx"), wrong=0)
    for file, content in litert_files[0].items():
        (Path("models/dense_10") / file).write_bytes(content)
    further_seeds()
    return tmp_path


def further_seeds(*seeds: int) -> None:
    Path("models/dense_10/further_seeds/seeds.json").write_text(json.dumps({"further_seeds": seeds}))


def metrics() -> dict:
    evaluate.main("dense_10")
    return json.loads(Path("reports/dense_10/metrics.json").read_text())


def test_one_seed_gives_the_figures_of_the_published_model_alone(workspace):
    found = metrics()
    lite = {"int8_val_accuracy": 1, "int8_test_accuracy": 1, "litert_differing_labels": 0}
    assert {key: found.pop(key) for key in lite} == lite
    assert set(found) == {"parameters", "val_accuracy", "val_loss", "test_accuracy", "test_loss"}
    assert (found["parameters"], found["val_accuracy"], found["test_accuracy"]) == (7840, 1, 1)


def test_the_golden_file_has_a_validation_image_of_each_digit_and_the_models_answer(workspace):
    write_onnx(Path("models/dense_10/model.onnx"), wrong=3)
    images = np.load("data/prepared/val/images.npy")
    images[:, 27, 27] = 51 / 255  # tells them from the test images; the network doesn't see it
    np.save("data/prepared/val/images.npy", images)
    evaluate.main("dense_10")
    golden = json.loads(Path("reports/dense_10/golden.json").read_text())
    assert np.shape(golden["pixels"]) == (10, 28, 28)
    pixels = np.array(golden["pixels"])
    assert pixels[:, 0, :10].tolist() == (255 * np.eye(10, dtype=int)).tolist()
    assert set(pixels[:, 27, 27]) == {51}
    assert golden["digits"] == [9, 9, 9, *range(3, 10)]
    assert np.argmax(golden["probabilities"], axis=1).tolist() == golden["digits"]


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("model.tflite", {"litert_differing_labels": 0.3 * (VAL + TEST)}),
        ("model_int8.tflite", {"int8_val_accuracy": 0.7, "int8_test_accuracy": 0.7}),
    ],
)
def test_the_files_for_phones_are_measured_by_themselves(workspace, litert_files, file, told):
    expected = metrics() | told
    Path("models/dense_10", file).write_bytes(litert_files[3][file])
    assert metrics() == expected


@pytest.mark.parametrize("file", ["model.tflite", "model_int8.tflite"])
def test_a_missing_file_for_phones_is_told(workspace, file):
    Path("models/dense_10", file).unlink()
    with pytest.raises(UserError, match=f"models/dense_10/{file} is missing: run `dvc repro`"):
        evaluate.main("dense_10")


def test_repeats_add_mean_and_deviation_and_leave_the_published_models_figures(workspace):
    once = metrics()
    answers = Path("reports/dense_10/predictions.csv").read_bytes()
    write_onnx(Path("models/dense_10/further_seeds/1.onnx"), wrong=1)
    write_onnx(Path("models/dense_10/further_seeds/2.onnx"), wrong=2)
    further_seeds(1, 2)
    found = metrics()
    assert {key: found.pop(key) for key in once} == once
    spread = {"accuracy_mean": 0.9, "accuracy_deviation": 0.1}  # of 1.0, 0.9 and 0.8
    expected = {f"{split}_{key}": value for split in ("val", "test") for key, value in spread.items()}
    assert found == expected | {"seeds_per_model": 3}
    assert Path("reports/dense_10/predictions.csv").read_bytes() == answers


def test_a_missing_repeat_is_told(workspace):
    further_seeds(1)
    with pytest.raises(UserError, match=r"models/dense_10/further_seeds/1.onnx is missing: run `dvc repro`"):
        evaluate.main("dense_10")
