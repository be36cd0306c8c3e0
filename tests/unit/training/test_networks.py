import keras
import numpy as np
import pytest

from pipeline.cli import UserError
from pipeline.config import keras_names
from pipeline.config.model import CNNModel, DenseModel, PerceptronModel
from pipeline.config.params import load
from pipeline.training import networks

TRAINING = {"batch_size": 8, "epochs": 1}
DENSE = {"family": "dense", "optimizer": "Adam", **TRAINING}


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [
        ("perceptron", 7_850),
        ("dense_10", 7_960),
        ("dense_512", 407_050),
        ("dense_784_800", 1_251_450),
        ("cnn_2m", 2_174_442),
        ("cnn_fast", 81_578),
        ("cnn_best", 136_106),
    ],
)
def test_presets_have_the_published_number_of_parameters(preset, parameters):
    assert networks.build(load().models[preset], 10).count_params() == parameters


def test_layers_are_data():
    block = CNNModel.model_validate(
        {
            **DENSE,
            "family": "cnn",
            "convolutions": [
                {"filters": 4, "kernel_size": 5, "strides": 2, "padding": "same"},
                {"filters": 6, "pool_size": 2, "batch_normalization": True},
                {"filters": 8},
            ],
            "dense": [{"units": 12, "dropout": 0.5, "activation": "tanh"}],
        }
    )
    shapes = [layer.output.shape[1:] for layer in networks.build(block, 10).layers if layer.weights]
    assert shapes == [(14, 14, 4), (12, 12, 6), (6, 6, 6), (4, 4, 8), (12,), (10,)]


def test_a_model_block_survives_as_a_keras_file(tmp_path):
    layers = [{"units": 3, "activation": {"name": "leaky_relu", "negative_slope": 0.3}}, {"units": 3, "dropout": 0.1}]
    block = DenseModel.model_validate({**DENSE, "dense": layers})
    model = networks.from_pixels(networks.build(block, 10), block)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 28, 28)).astype(np.float32)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(pixels, verbose=0), model.predict(pixels, verbose=0))


@pytest.mark.parametrize("name", keras_names.OPTIMIZERS)
def test_every_optimizer_takes_a_step(name):
    train_once({**DENSE, "optimizer": {"name": name, "learning_rate": 0.01}})


@pytest.mark.parametrize("name", keras_names.LOSSES)
def test_every_loss_trains(name):
    train_once({**DENSE, "loss": name})


@pytest.mark.parametrize("name", keras_names.ACTIVATIONS)
def test_every_activation_takes_its_arguments(name):
    values = {
        "alpha": 0.5,
        "approximate": True,
        "threshold": 0.1,
        "negative_slope": 0.2,
        "b": 4,
        "max_value": 6.0,
    }
    arguments = {argument: values[argument] for argument in keras_names.ACTIVATIONS[name]}
    layers = [{"units": 3, "activation": {"name": name, **arguments}}, {"units": 3, "activation": name}]
    train_once({**DENSE, "dense": layers})


@pytest.mark.parametrize("name", keras_names.INITIALIZERS)
def test_every_initializer_builds(name):
    train_once({**DENSE, "dense": [{"units": 3, "kernel_initializer": name}]})


def train_once(block: dict) -> None:
    block = DenseModel.model_validate(block)
    network = networks.build(block, 10)
    networks.compile_network(network, block, steps_per_epoch=1)
    random = np.random.default_rng(0)
    images, labels = random.random((8, 28, 28, 1), np.float32), np.eye(10, dtype=np.float32)[:8]
    history = network.fit(images, labels, batch_size=8, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        # 10 steps an epoch, 4 epochs: up over 8 steps, down over 32.
        ({"name": "cosine_decay", "warmup": 0.2}, {0: 0.0, 4: 0.5, 8: 1.0, 24: 0.5, 40: 0.0}),
        ({"name": "cosine_decay", "alpha": 0.1}, {0: 1.0, 20: 0.55, 40: 0.1}),
        ({"name": "exponential_decay", "decay_rate": 0.5}, {0: 1.0, 9: 1.0, 10: 0.5, 39: 0.125}),
    ],
)
def test_schedules_span_the_training(schedule, rates):
    optimizer = {"name": "SGD", "learning_rate": 1.0}
    block = DenseModel.model_validate({**DENSE, "optimizer": optimizer, "schedule": schedule, "epochs": 4})
    network = networks.build(block, 10)
    networks.compile_network(network, block, steps_per_epoch=10)
    rate = network.optimizer._learning_rate
    assert {step: pytest.approx(float(rate(step)), abs=1e-6) for step in rates} == rates


@pytest.mark.parametrize(
    ("key", "named", "told"),
    [
        ("optimizer", {"name": "SGD", "momentum": 5}, "momentum"),
        ("kernel_initializer", {"name": "variance_scaling", "scale": -1.0}, "scale"),
    ],
)
def test_a_value_that_keras_refuses_is_told(key, named, told):
    with pytest.raises(UserError, match=told):
        train_once({**DENSE, key: named})


def test_the_perceptron_learns_by_rosenblatts_rule():
    block = PerceptronModel(family="perceptron", learning_rate=0.5, batch_size=1, epochs=1)
    network = networks.build(block, 3)
    networks.compile_network(network, block, steps_per_epoch=4)
    random = np.random.default_rng(1)
    images = random.random((4, 28, 28, 1), np.float32)
    labels = np.eye(3, dtype=np.float32)[[0, 2, 1, 0]]
    weights, biases = np.zeros((784, 3)), np.zeros(3)
    for image, label in zip(images.reshape(4, 784), labels, strict=True):
        wrong = label - (image @ weights + biases > 0)  # +1: should have fired; −1: should not have
        weights += 0.5 * np.outer(image, wrong)
        biases += 0.5 * wrong
    network.fit(images, labels, batch_size=1, shuffle=False, verbose=0)
    np.testing.assert_allclose(network.get_weights()[0], weights, atol=1e-5)
    np.testing.assert_allclose(network.get_weights()[1], biases, atol=1e-5)
