import keras
import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter

from pipeline import inference as litert
from pipeline.cli import UserError
from pipeline.config import keras_names
from pipeline.config.model import CNNModel, DenseModel, PerceptronModel
from pipeline.training import export, networks

CNN = CNNModel.model_validate(
    {
        "family": "cnn",
        "convolutions": [{"filters": 4, "kernel_size": 5, "pool_size": 2, "batch_normalization": True}, {"filters": 6}],
        "dense": [{"units": 8, "dropout": 0.5}],
        "optimizer": "Adam",
        "batch_size": 1,
        "epochs": 1,
    }
)
PERCEPTRON = PerceptronModel(family="perceptron", learning_rate=1.0, batch_size=1, epochs=1)


def build(block) -> keras.Model:
    keras.backend.clear_session()  # as a new process: Keras counts the layers that it names
    keras.utils.set_random_seed(3)
    return networks.from_pixels(networks.build(block, 10), block)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 28, 28)).astype(np.float32)


@pytest.mark.parametrize("block", [CNN, PERCEPTRON])
def test_the_same_weights_give_the_same_bytes(tmp_path, pixels, block):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        export.export(build(block), tmp_path / name, {"parameters": "1"}, pixels, pixels)
    for file in ("model.keras", "model.onnx", "model.tflite", "model_int8.tflite"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes(), file


def test_the_onnx_file_names_its_input_and_output_and_keeps_the_metadata(tmp_path, pixels):
    export.export(build(CNN), tmp_path, {"parameters": "123"}, pixels, pixels)
    model = onnx.load(tmp_path / "model.onnx")
    assert [value.name for value in model.graph.input] == ["pixels"]
    assert [value.name for value in model.graph.output] == ["probabilities"]
    assert {entry.key: entry.value for entry in model.metadata_props} == {"parameters": "123"}


def test_the_canonical_form_does_not_depend_on_names_or_order(tmp_path, pixels):
    export.export(build(CNN), tmp_path, {}, pixels, pixels)
    model = onnx.load(tmp_path / "model.onnx")
    expected = export.canonical_onnx(onnx.load(tmp_path / "model.onnx")).SerializeToString(deterministic=True)
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
    assert export.canonical_onnx(model).SerializeToString(deterministic=True) == expected


def test_the_int8_file_takes_bytes_as_they_are_and_computes_with_integers_alone(tmp_path, pixels):
    model = build(CNN)
    expected = model.predict(pixels, verbose=0)
    path = tmp_path / "model_int8.tflite"
    export.write_int8(model, path, np.minimum(pixels, 200))  # the scale must not depend on the images at hand
    interpreter = Interpreter(str(path))
    (entry,), (leave,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (entry["dtype"], entry["quantization"]) == (np.uint8, (1.0, 0))
    assert entry["shape_signature"].tolist() == [-1, 28, 28]
    floats = [tensor["name"] for tensor in interpreter.get_tensor_details() if tensor["dtype"] == np.float32]
    assert floats == [leave["name"]]
    together = litert.run(path, pixels.astype(np.uint8))
    np.testing.assert_allclose(together, expected, atol=0.03)
    for index, image in enumerate(pixels):
        np.testing.assert_array_equal(litert.run(path, image[np.newaxis])[0], together[index])


def test_a_network_that_has_no_ranges_keeps_float_activations_and_says_so(tmp_path, pixels, capsys):
    block = DenseModel(family="dense", dense=[{"units": 16}, {"units": 8}], optimizer="Adam", batch_size=1, epochs=1)
    model = build(block)
    weights = model.get_weights()
    weights[1][:] = -1e4  # no unit of the first layer ever answers
    model.set_weights(weights)
    path = tmp_path / "model_int8.tflite"
    export.write_int8(model, path, pixels)
    assert "model_int8.tflite has 8-bit weights alone" in capsys.readouterr().out
    entry = Interpreter(str(path)).get_input_details()[0]
    assert (entry["dtype"], entry["shape_signature"].tolist()) == (np.uint8, [-1, 28, 28])
    np.testing.assert_allclose(litert.run(path, pixels), model.predict(pixels, verbose=0), atol=1e-6)


def test_every_activation_can_be_exported(tmp_path, pixels):
    layers = [{"units": 4, "activation": name} for name in keras_names.ACTIVATIONS]
    layers += [{"units": 4, "activation": {"name": "celu", "alpha": 0.5}}]
    block = DenseModel(family="dense", dense=layers, optimizer="Adam", batch_size=1, epochs=1)
    export.export(build(block), tmp_path, {}, pixels, pixels)
    assert np.isfinite(litert.run(tmp_path / "model_int8.tflite", pixels)).all()


@pytest.mark.parametrize(("change", "told"), [(0.001, "0 of 3 labels"), (0.3, "1 of 3 labels"), (np.nan, "nan")])
def test_an_export_that_answers_otherwise_is_refused(change, told):
    expected = np.array([[0.6, 0.4], [0.1, 0.9], [0.8, 0.2]], np.float32)
    export.compare("model.onnx", expected + 1e-5, expected)
    answers = expected.copy()
    answers[0] += np.array([-change, change], np.float32)
    with pytest.raises(UserError, match=told):
        export.compare("model.onnx", answers, expected)
