"""One small network, exported once; tests that need more exports are in tests/pipeline/test_export.py."""

import json
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter

from pipeline.cli import UserError
from pipeline.inference import open_onnx, predict_litert, predict_onnx
from pipeline.training import export
from tests.helpers.configs import CNN, build_published, random_pixels

PIXELS = random_pixels()


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return build_published(CNN)


@pytest.fixture(scope="module")
def folder(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the four files of a small network."""
    folder = tmp_path_factory.mktemp("exported")
    calibration = np.minimum(PIXELS, 200).astype(np.float32)  # the scale must not depend on these images
    export.export_model(model, folder, {"parameters": "123"}, PIXELS, calibration)
    return folder


def test_four_files_are_written(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {"model.keras", "model.onnx", "model.tflite", "model_int8.tflite"}


def test_the_onnx_file_names_its_input_and_output_and_keeps_the_metadata(folder):
    written = onnx.load(folder / "model.onnx")
    assert [value.name for value in written.graph.input] == ["pixels"]
    assert [value.name for value in written.graph.output] == ["probabilities"]
    metadata = {entry.key: entry.value for entry in written.metadata_props}
    assert metadata["parameters"] == "123"
    assert len(json.loads(metadata["layers"])) == 4


def test_each_file_answers_as_the_network(folder, model):
    expected = model.predict(PIXELS, verbose=0)
    np.testing.assert_allclose(predict_onnx(open_onnx(folder / "model.onnx"), PIXELS), expected, atol=1e-5)
    np.testing.assert_allclose(predict_litert(folder / "model.tflite", PIXELS), expected, atol=1e-5)
    restored = keras.saving.load_model(folder / "model.keras")
    np.testing.assert_allclose(restored.predict(PIXELS, verbose=0), expected, atol=1e-5)


def test_the_bytes_are_canonical(folder, tmp_path, model):
    export.export_onnx(model, tmp_path / "again.onnx", {"parameters": "123"}, PIXELS)
    assert (tmp_path / "again.onnx").read_bytes() == (folder / "model.onnx").read_bytes()
    copy = tmp_path / "model.keras"
    copy.write_bytes((folder / "model.keras").read_bytes())
    export.canonicalise_keras(copy)
    assert copy.read_bytes() == (folder / "model.keras").read_bytes()


def test_the_int8_file_takes_bytes_as_they_are_and_computes_with_integers_alone(folder, model):
    path = folder / "model_int8.tflite"
    interpreter = Interpreter(str(path))
    (entry,), (leave,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (entry["dtype"], entry["quantization"]) == (np.uint8, (1.0, 0))
    assert entry["shape_signature"].tolist() == [-1, 28, 28]
    floats = [tensor["name"] for tensor in interpreter.get_tensor_details() if tensor["dtype"] == np.float32]
    assert floats == [leave["name"]]
    together = predict_litert(path, PIXELS)
    np.testing.assert_allclose(together, model.predict(PIXELS, verbose=0), atol=0.03)
    for index, image in enumerate(PIXELS):
        np.testing.assert_array_equal(predict_litert(path, image[np.newaxis])[0], together[index])


@pytest.mark.parametrize("form", ["model.keras", "model.onnx", "model.tflite"])
def test_each_form_is_compared_with_the_network(folder, tmp_path, model, monkeypatch, form):
    """An exporter that writes another network is detected; here each exporter writes what was exported before."""
    written = {path.name: path.read_bytes() for path in folder.iterdir()}
    if form == "model.keras":
        monkeypatch.setattr(keras.Model, "save", lambda self, path: Path(path).write_bytes(written["model.keras"]))
        monkeypatch.setattr(keras.saving, "load_model", lambda path: Shifted(model))
    names = {"model.onnx": "predict_onnx", "model.tflite": "predict_litert"}
    if form in names:
        right = model.predict(PIXELS, verbose=0)
        monkeypatch.setattr(export, names[form], lambda *arguments: np.roll(right, 1, axis=1))
    monkeypatch.setattr(
        keras.Model, "export", lambda self, path, **options: Path(path).write_bytes(written[Path(path).name])
    )
    with pytest.raises(UserError, match=f"{form} differs from the trained model on 20 of 20 labels"):
        export.export_model(model, tmp_path, {}, PIXELS, PIXELS.astype(np.float32))


class Shifted:
    """A network that answers each digit with the next digit."""

    def __init__(self, model: keras.Model):
        self._model = model

    def predict_on_batch(self, pixels: np.ndarray) -> np.ndarray:
        return np.roll(self._model.predict_on_batch(pixels), 1, axis=1)


@pytest.mark.parametrize(
    ("change", "message"), [(0.001, "0 of 3 labels"), (0.3, "1 of 3 labels"), (np.nan, "nan"), (2e-4, "0 of 3")]
)
def test_an_export_that_answers_otherwise_is_refused(change, message):
    expected = np.array([[0.6, 0.4], [0.1, 0.9], [0.8, 0.2]], np.float32)
    export.require_same_answers("model.onnx", expected + 5e-5, expected)
    answers = expected.copy()
    answers[0] += np.array([-change, change], np.float32)
    with pytest.raises(UserError, match=message):
        export.require_same_answers("model.onnx", answers, expected)


def test_labels_that_differ_within_the_tolerance_are_refused_too():
    expected = np.array([[0.50001, 0.49999]], np.float32)
    with pytest.raises(UserError, match="1 of 1 labels"):
        export.require_same_answers("model.onnx", expected[:, ::-1], expected)


def test_labels_may_differ_where_two_classes_tie():
    expected = np.array([[0.500001, 0.499999]], np.float32)
    export.require_same_answers("model.onnx", expected[:, ::-1], expected)
