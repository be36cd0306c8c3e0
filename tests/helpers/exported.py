"""Exported networks with random weights in every layer, and the outputs that Keras computes with them."""

from pathlib import Path

import keras
import numpy as np

from pipeline.config.model import CNNModel, DenseModel, ModelConfig
from pipeline.training.export import export_onnx
from serving.layers import NetworkLayers
from tests.helpers.configs import DENSE, build_published, random_pixels

PIXELS = random_pixels(6)
TWO_LAYERS = DenseModel.model_validate(DENSE | {"dense": [{"units": 12, "activation": "gelu"}, {"units": 5}]})
PADDED = CNNModel.model_validate(
    {
        **DENSE,
        "family": "cnn",
        "convolutions": [
            {
                "filters": 4,
                "strides": 2,
                "padding": "same",
                "activation": {"name": "leaky_relu", "negative_slope": 0.3},
            },
            {"filters": 5, "batch_normalization": True, "dropout": 0.2},
        ],
        "pooling": "global_average",
    }
)


def export(config: ModelConfig, path: Path) -> tuple[keras.Model, NetworkLayers]:
    """Return a network with random weights, as if it had been trained, and the layers of its exported file."""
    random = np.random.default_rng(1)
    model = build_published(config)
    for weights in model.weights:
        weights.assign(random.uniform(0.1, 0.4, weights.shape) * random.choice([-1, 1], weights.shape[-1:] or None))
    for weights in model.weights:
        if weights.name == "moving_variance":
            weights.assign(random.uniform(0.5, 1.5, weights.shape))
    export_onnx(model, path / "model.onnx", {}, PIXELS)
    return model, NetworkLayers((path / "model.onnx").read_bytes())


def run_keras(model: keras.Model, pixels: np.ndarray) -> list[np.ndarray]:
    """Return the outputs of the layers of a model's first member, in order, as Keras computes them layer by layer."""
    x, outputs = pixels[..., np.newaxis].astype(np.float32) / 255, []
    member = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    for layer in member.operations[1:]:
        is_weighted = isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)
        x = layer(x)
        if is_weighted:
            outputs.append(x)
        elif not isinstance(layer, keras.layers.Flatten | keras.layers.GlobalAveragePooling2D) and outputs:
            outputs[-1] = x
    return [keras.ops.convert_to_numpy(output) for output in outputs]
