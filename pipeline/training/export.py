"""The published forms of a model: .keras, .onnx and two of .tflite, as canonical bytes, checked against each other."""

import json
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import onnx

from pipeline.cli import UserError
from pipeline.data.arrays import FloatArray, UInt8Array
from pipeline.inference import open_onnx, predict_litert, predict_onnx
from pipeline.training.canonical import canonicalise_keras, canonicalise_onnx
from pipeline.training.layers import describe_layers
from pipeline.training.published import predict

TOLERANCE = 1e-4  # largest difference of a probability between two forms of one model
TIE = 1e-5  # classes whose probabilities differ by less are tied; with many classes, some images have ties


def export_model(
    model: keras.Model, folder: Path, metadata: Mapping[str, str], pixels: UInt8Array, calibration: FloatArray
) -> None:
    """Write model.keras, model.onnx, model.tflite and model_int8.tflite; `metadata` is kept inside the ONNX file,
    beside the tensors of its layers.

    Raise UserError unless the first three give the same labels and nearly the same probabilities for `pixels`, uint8,
    shaped as the model takes them. The fourth is an approximation, whose ranges are measured on `calibration`, float32
    of the same shape; evaluate measures its accuracy.
    """
    # First, because Keras exports only a model that has been called.
    (expected,) = predict(model, pixels)
    model.save(folder / "model.keras")
    canonicalise_keras(folder / "model.keras")
    _write_onnx(model, folder / "model.onnx", metadata, pixels)
    model.export(folder / "model.tflite", format="litert", verbose=False)
    write_int8(model, folder / "model_int8.tflite", calibration)
    restored = keras.saving.load_model(folder / "model.keras")
    require_same_answers("model.keras", predict(restored, pixels)[0], expected)
    require_same_answers("model.onnx", predict_onnx(open_onnx(folder / "model.onnx"), pixels), expected)
    require_same_answers("model.tflite", predict_litert(folder / "model.tflite", pixels), expected)


def export_onnx(model: keras.Model, path: Path, metadata: Mapping[str, str], pixels: UInt8Array) -> None:
    """Write the ONNX file alone, as `export_model` does, and check it in the same way."""
    (expected,) = predict(model, pixels)
    _write_onnx(model, path, metadata, pixels)
    require_same_answers(path.name, predict_onnx(open_onnx(path), pixels), expected)


def write_int8(model: keras.Model, path: Path, calibration: FloatArray) -> None:
    """Write a LiteRT file with 8-bit weights and activations: uint8 pixels in, float32 [n, classes] out.

    Each layer's range is measured on the images `calibration`, raw pixels in float32. An operator that LiteRT has only
    in float32 (of Keras' activations, elu, hard_shrink and a few more) stays float32 inside the file. So do all
    activations of a network if LiteRT can't run their ranges; a message says so.
    """
    from tensorflow import lite, uint8

    weights = {"format": "litert", "verbose": False, "optimizations": [lite.Optimize.DEFAULT]}
    # The input's range is calibrated too. With a pixel of 255 its scale is 1: the interpreter takes bytes as they are.
    calibration = calibration.copy()
    calibration[0, 0, 0] = 255
    model.export(
        path,
        **weights,
        representative_dataset=lambda: ([image[np.newaxis]] for image in calibration),
        target_spec={"supported_ops": [lite.OpsSet.TFLITE_BUILTINS_INT8, lite.OpsSet.TFLITE_BUILTINS]},
        inference_input_type=uint8,
    )
    try:
        predict_litert(path, calibration[:1])
    except RuntimeError:
        # This happens if a layer is dead: its outputs are all 0, so its range is 0, and LiteRT can't divide by it.
        print(
            f"{path.name} has 8-bit weights but computes in float: "
            "this network's activations have no range that LiteRT can run"
        )
        pixels = keras.Input(model.input_shape[1:], dtype="uint8")
        keras.Model(pixels, model(keras.ops.cast(pixels, "float32"))).export(path, **weights)


def require_same_answers(name: str, answers: FloatArray, expected: FloatArray) -> None:
    """Raise UserError unless two sets of probabilities [n, classes] nearly agree, and on labels except for ties."""
    difference = float(np.abs(answers - expected).max())
    behind = expected.max(axis=1) - expected[np.arange(len(expected)), answers.argmax(axis=1)]
    labels = int((behind > TIE).sum())
    if labels or not difference <= TOLERANCE:
        raise UserError(
            f"{name} differs from the trained model on {labels} of {len(expected)} labels, and by up to "
            f"{difference:.2g} in a probability ({TOLERANCE:g} is allowed); look for a layer that the exporter "
            "does not support"
        )


def _write_onnx(model: keras.Model, path: Path, metadata: Mapping[str, str], pixels: UInt8Array) -> None:
    model.export(path, format="onnx", verbose=False)
    network = canonicalise_onnx(onnx.load(path))
    layers = json.dumps(describe_layers(model, network, pixels))
    onnx.helper.set_model_props(network, {**metadata, "layers": layers})
    path.write_bytes(network.SerializeToString(deterministic=True))
