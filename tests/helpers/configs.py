"""Sections of params.yaml for small models, and the published networks that they make."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config.model import CNNModel, DenseModel, ModelConfig, PerceptronModel

if TYPE_CHECKING:
    import keras

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
MNIST_SHAPE = (28, 28, 1)
PERCEPTRON = PerceptronModel(family="perceptron", learning_rate=1.0, batch_size=1, epochs=1)


def build_published(config: ModelConfig) -> "keras.Model":
    """Return the network that takes raw pixels, with the initial weights that a new process would draw."""
    import keras

    from pipeline.training import networks, published

    keras.backend.clear_session()  # as in a new process, because Keras numbers the layers that it names
    keras.utils.set_random_seed(3)
    return published.take_pixels(networks.build_network(config, MNIST_SHAPE, 10), config)


def random_pixels(count: int = 20) -> np.ndarray:
    """Return raw images of noise, uint8 [n, 28, 28]."""
    return np.random.default_rng(0).integers(0, 256, (count, 28, 28)).astype(np.uint8)


PUBLISHED_PARAMETERS = {
    "perceptron": 7_850,
    "dense_10": 7_960,
    "dense_512": 407_050,
    "dense_784_800": 1_251_450,
    "cnn_2m": 2_174_442,
    "cnn_fast": 81_578,
    "cnn_best": 136_106,
}
"""The number of weights of presets in tests/helpers/params.yaml, with ten classes."""

ACTIVATION_ARGUMENTS = {
    "alpha": 0.5,
    "approximate": True,
    "threshold": 0.1,
    "negative_slope": 0.2,
    "b": 4,
    "max_value": 6.0,
}
DENSE = {"family": "dense", "optimizer": "Adam", "batch_size": 8, "epochs": 1}


def compile_dense(section: dict[str, Any]) -> "tuple[keras.Model, np.ndarray, np.ndarray]":
    """Return a compiled network of the family dense, with the keys of `section`, and a batch of 8 images and labels."""
    from pipeline.training import networks

    network = networks.build_compiled(DenseModel.model_validate(DENSE | section), MNIST_SHAPE, 10, steps_per_epoch=1)
    random = np.random.default_rng(0)
    return network, random.random((8, 28, 28, 1), np.float32), np.eye(10, dtype=np.float32)[:8]
