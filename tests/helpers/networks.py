"""Networks whose answers are known without training."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.paths import Workspace
from tests.helpers.datasets import write_description, write_split
from tests.helpers.params import PARAMS


def bright_pixel_weights(wrong: int, values: int = 784, classes: int = 10) -> np.ndarray:
    """Return weights that read the label from the first values, and answer the last class for each below `wrong`."""
    weights = np.zeros((values, classes), np.float32)
    weights[np.arange(classes), [classes - 1 if label < wrong else label for label in range(classes)]] = 0.02
    return weights


def write_onnx(path: Path, wrong: int, shape: Sequence[int] = (28, 28), classes: int = 10) -> None:
    """Write an ONNX network of `bright_pixel_weights` and a softmax."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"]),
    ]
    entry = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["images", *shape])
    leave = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["images", classes])
    weights = bright_pixel_weights(wrong, math.prod(shape), classes)
    graph = helper.make_graph(nodes, "network", [entry], [leave], [numpy_helper.from_array(weights, "weights")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    helper.set_model_props(model, {"parameters": "7840", "temperature": "1"})
    onnx.save(model, path)


def predict_bright_pixels(wrong: int, pixels: np.ndarray) -> np.ndarray:
    """Return the network's probabilities, computed by NumPy."""
    scores = np.exp(pixels.reshape(len(pixels), -1) @ bright_pixel_weights(wrong))
    return scores / scores.sum(axis=1, keepdims=True)


def write_bright_pixels(workspace: Workspace, val: int, test: int) -> None:
    """Write params.yaml, images with one bright pixel at the place of their label, and models/dense_10 without LiteRT.

    The model answers each image right.
    """
    workspace.params.write_text(PARAMS)
    for split, count in (("val", val), ("test", test)):
        labels = np.arange(count) % 10
        pixels = np.zeros((count, 28, 28, 1), np.uint8)
        pixels[np.arange(count), 0, labels, 0] = 255
        write_split(workspace.prepared / split, pixels, labels)
    write_description(workspace.prepared)
    model = workspace.model("dense_10")
    (model / "further_seeds").mkdir(parents=True)
    (model / "further_seeds" / "seeds.json").write_text('{"further_seeds": []}')
    (model / "history.csv").write_text("epoch,accuracy,val_accuracy\n1,0.5,0.5\n")
    write_onnx(model / "model.onnx", wrong=0)


def write_litert(folder: Path, wrong: int) -> None:
    """Write the same network as model.tflite and model_int8.tflite."""
    import keras

    from pipeline.training import export

    layers = [keras.layers.Flatten(), keras.layers.Dense(10, "softmax", use_bias=False)]
    model = keras.Sequential([keras.Input((28, 28)), *layers])
    model.set_weights([bright_pixel_weights(wrong)])
    pixels = 255 * np.eye(10, 784, dtype=np.float32).reshape(10, 28, 28)
    model.predict(pixels, verbose=0)  # Keras exports only a model that has been called
    model.export(folder / "model.tflite", format="litert", verbose=False)
    export.write_int8(model, folder / "model_int8.tflite", pixels)
