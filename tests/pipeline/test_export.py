"""Exports of several networks: the same weights give the same bytes, and every activation can be exported."""

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter

from pipeline.config import keras_names
from pipeline.config.model import DenseModel
from pipeline.inference import predict_litert
from pipeline.training import export
from pipeline.training.canonical import canonicalise_onnx
from tests.helpers.configs import CNN, PERCEPTRON, build_published, random_pixels

PIXELS = random_pixels()
CALIBRATION = PIXELS.astype(np.float32)


@pytest.mark.parametrize("config", [CNN, PERCEPTRON])
def test_the_same_weights_give_the_same_bytes(tmp_path, config):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        export.export_model(build_published(config), tmp_path / name, {"parameters": "1"}, PIXELS, CALIBRATION)
    for file in ("model.keras", "model.onnx", "model.tflite", "model_int8.tflite"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes(), file


def test_the_canonical_form_of_a_cnn_does_not_depend_on_names_or_order(tmp_path):
    path = tmp_path / "model.onnx"
    export.export_onnx(build_published(CNN), path, {}, PIXELS)
    model = onnx.load(path)
    expected = canonicalise_onnx(onnx.load(path)).SerializeToString(deterministic=True)
    graph = model.graph
    for node in graph.node:
        node.name = f"other_{node.name}"
        for names in (node.input, node.output):
            names[:] = [f"x{hash(name)}" for name in names]
    for value in (*graph.initializer, *graph.input, *graph.output):
        value.name = f"x{hash(value.name)}"
    tensors = list(graph.initializer)[::-1]
    del graph.initializer[:]
    graph.initializer.extend(tensors)
    assert canonicalise_onnx(model).SerializeToString(deterministic=True) == expected


def test_a_network_that_has_no_ranges_keeps_float_activations_and_says_so(tmp_path, capsys):
    config = DenseModel(family="dense", dense=[{"units": 16}, {"units": 8}], optimizer="Adam", batch_size=1, epochs=1)
    model = build_published(config)
    weights = model.get_weights()
    weights[1][:] = -1e4  # no unit of the first layer is ever active
    model.set_weights(weights)
    path = tmp_path / "model_int8.tflite"
    export.write_int8(model, path, CALIBRATION)
    assert "model_int8.tflite has 8-bit weights but computes in float" in capsys.readouterr().out
    entry = Interpreter(str(path)).get_input_details()[0]
    assert (entry["dtype"], entry["shape_signature"].tolist()) == (np.uint8, [-1, 28, 28])
    np.testing.assert_allclose(predict_litert(path, PIXELS), model.predict(PIXELS, verbose=0), atol=1e-6)


def test_every_activation_can_be_exported(tmp_path):
    layers = [{"units": 4, "activation": name} for name in keras_names.ACTIVATIONS]
    layers += [{"units": 4, "activation": {"name": "celu", "alpha": 0.5}}]
    config = DenseModel(family="dense", dense=layers, optimizer="Adam", batch_size=1, epochs=1)
    export.export_model(build_published(config), tmp_path, {}, PIXELS, CALIBRATION)
    assert np.isfinite(predict_litert(tmp_path / "model_int8.tflite", PIXELS)).all()
