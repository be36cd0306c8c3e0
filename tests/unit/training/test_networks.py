from types import SimpleNamespace

import numpy as np
import pytest
from ruamel.yaml import YAML

from pipeline.cli import UserError
from pipeline.config import keras_names
from pipeline.config.keras_objects import KerasObject
from pipeline.config.model import CNNModel, DenseModel
from pipeline.config.params import check
from pipeline.training import fused, networks, published
from tests.helpers.configs import (
    ACTIVATION_ARGUMENTS,
    CNN,
    DENSE,
    MNIST_SHAPE,
    PUBLISHED_PARAMETERS,
    compile_dense,
)
from tests.helpers.params import PARAMS


@pytest.mark.parametrize(("preset", "parameters"), PUBLISHED_PARAMETERS.items())
def test_networks_have_the_published_number_of_parameters(preset, parameters):
    config = check(YAML(typ="safe").load(PARAMS), "tests/helpers/params.yaml").models[preset]
    assert networks.build_network(config, MNIST_SHAPE, 10).count_params() == parameters


def test_layers_are_data():
    config = CNNModel.model_validate(
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
    shapes = [
        layer.output.shape[1:] for layer in networks.build_network(config, MNIST_SHAPE, 10).layers if layer.weights
    ]
    assert shapes == [(14, 14, 4), (12, 12, 6), (6, 6, 6), (4, 4, 8), (12,), (10,)]


# tests/pipeline/test_train.py tests that networks of every kind train with finite results.
@pytest.mark.parametrize("name", keras_names.OPTIMIZERS)
def test_every_optimizer_is_built(name):
    network, *_ = compile_dense({"optimizer": {"name": name, "learning_rate": 0.25}})
    assert (type(network.optimizer).__name__, float(network.optimizer.learning_rate)) == (name, 0.25)


@pytest.mark.parametrize("name", keras_names.LOSSES)
def test_every_loss_is_built(name):
    network, *_ = compile_dense({"loss": name})
    assert type(network.loss).__name__.lower() == name.replace("_", "")


@pytest.mark.parametrize("name", keras_names.ACTIVATIONS)
def test_every_activation_takes_its_arguments(name):
    arguments = {argument: ACTIVATION_ARGUMENTS[argument] for argument in keras_names.ACTIVATIONS[name]}
    layers = [{"units": 3, "activation": {"name": name, **arguments}}, {"units": 3, "activation": name}]
    network, images, _ = compile_dense({"dense": layers})
    assert np.isfinite(network(images)).all()


@pytest.mark.parametrize("name", keras_names.INITIALIZERS)
def test_every_initializer_is_built(name):
    network, *_ = compile_dense({"dense": [{"units": 3, "kernel_initializer": name}]})
    assert np.isfinite(network.get_weights()[0]).all()


def test_training_is_fused_and_the_published_network_is_keras_own():
    network = networks.build_compiled(CNN, MNIST_SHAPE, 10, steps_per_epoch=1)
    assert type(network.optimizer) is fused.Adam
    assert fused.BatchNormalization in map(type, network.layers)
    model = published.take_pixels(network, CNN)
    assert {type(layer).__module__.partition(".")[0] for layer in model.layers[-1].layers} == {"keras"}


def test_a_network_takes_a_step():
    network, images, labels = compile_dense({"optimizer": {"name": "SGD", "learning_rate": 0.1}, "dense": []})
    before = network.get_weights()
    network.run_eagerly = True
    loss, accuracy, _ = network.train_on_batch(images, labels)
    answers = np.exp(images.reshape(8, -1) @ before[0])
    answers /= answers.sum(axis=1, keepdims=True)
    assert loss == pytest.approx(-np.log((answers * labels).sum(axis=1)).mean(), rel=1e-4)
    assert accuracy == pytest.approx((answers.argmax(axis=1) == labels.argmax(axis=1)).mean())
    np.testing.assert_allclose(network.get_weights()[1], 0.1 * (labels - answers).mean(axis=0), atol=1e-5)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        # 10 steps per epoch, 4 epochs: the learning rate rises for 8 steps and falls for 32.
        ({"name": "cosine_decay", "warmup": 0.2}, {0: 0.0, 4: 0.5, 8: 1.0, 24: 0.5, 40: 0.0}),
        ({"name": "cosine_decay", "alpha": 0.1}, {0: 1.0, 20: 0.55, 40: 0.1}),
        ({"name": "exponential_decay", "decay_rate": 0.5}, {0: 1.0, 9: 1.0, 10: 0.5, 39: 0.125}),
    ],
)
def test_schedules_span_the_training(schedule, rates):
    optimizer = {"name": "SGD", "learning_rate": 1.0}
    config = DenseModel.model_validate({**DENSE, "optimizer": optimizer, "schedule": schedule, "epochs": 4})
    network = networks.build_compiled(config, MNIST_SHAPE, 10, steps_per_epoch=10)
    rate = network.optimizer._learning_rate
    assert {step: pytest.approx(float(rate(step)), abs=1e-6) for step in rates} == rates


@pytest.mark.parametrize(
    ("key", "named", "message"),
    [
        ("optimizer", {"name": "SGD", "momentum": 5}, "momentum"),
        ("kernel_initializer", {"name": "variance_scaling", "scale": -1.0}, "scale"),
    ],
)
def test_a_value_that_keras_refuses_is_reported(key, named, message):
    with pytest.raises(UserError, match=message):
        compile_dense({"dense": [{"units": 3}], key: named})


def test_an_argument_that_an_activation_refuses_is_reported():
    activation = KerasObject(name="relu", arguments={"slope": 1})
    config = DenseModel.model_validate({**DENSE, "dense": [{"units": 3}]}).model_copy(update={"activation": activation})
    with pytest.raises(UserError, match=r"params.yaml: Keras refuses relu with {'slope': 1}"):
        networks.build_network(config, MNIST_SHAPE, 10)


def test_a_layer_is_normalised_before_its_activation_and_drops_after_it():
    layer = {"units": 3, "batch_normalization": True, "dropout": 0.5, "activation": "tanh"}
    config = DenseModel.model_validate({**DENSE, "dense": [layer, {"units": 2}], "activation": "elu"})
    layers = networks.build_network(config, MNIST_SHAPE, 10).layers[2:]
    kinds = [type(item).__name__ for item in layers]
    assert kinds == ["Dense", "BatchNormalization", "Activation", "Dropout", "Dense", "Activation", "Dense"]
    assert [layers[0].use_bias, layers[4].use_bias] == [False, True]  # batch normalisation would subtract a bias again
    assert [layers[2].activation.__name__, layers[5].activation.__name__] == ["tanh", "elu"]
    assert (layers[1].momentum, layers[3].rate) == (0.9, 0.5)
    assert layers[6].activation.__name__ == "softmax"


def test_a_layers_own_initializer_goes_before_the_models():
    layers = [{"units": 3}, {"units": 3, "kernel_initializer": "ones"}]
    config = DenseModel.model_validate({**DENSE, "dense": layers, "kernel_initializer": "zeros"})
    first, _, second, _, output, _ = networks.build_network(config, MNIST_SHAPE, 10).get_weights()
    assert (first.max(), second.min(), output.max()) == (0, 1, 0)
    convolutions = [{"filters": 2, "kernel_initializer": "ones"}, {"filters": 2}]
    config = CNNModel.model_validate(
        {**DENSE, "family": "cnn", "convolutions": convolutions} | {"kernel_initializer": "zeros"}
    )
    first, _, second, *_ = networks.build_network(config, MNIST_SHAPE, 10).get_weights()
    assert (first.min(), second.max()) == (1, 0)


def test_pooling_comes_before_the_activation():
    config = CNNModel.model_validate({**DENSE, "family": "cnn", "convolutions": [{"filters": 2, "pool_size": 2}]})
    kinds = [type(item).__name__ for item in networks.build_network(config, MNIST_SHAPE, 10).layers]
    assert kinds == ["InputLayer", "Conv2D", "MaxPooling2D", "Activation", "Flatten", "Dense"]


def test_many_batches_run_between_two_returns_to_python():
    network, *_ = compile_dense({})
    assert network.steps_per_execution == 64


def test_a_network_that_no_file_or_no_memory_could_hold_is_refused_before_it_is_made(monkeypatch):
    wide = DenseModel.model_validate({**DENSE, "dense": [{"units": 784}, {"units": 800}]})
    for memory, side in ((32e9, 1024), (16e9, 224), (1e12, 1024)):
        monkeypatch.setattr("psutil.virtual_memory", lambda memory=memory: SimpleNamespace(total=int(memory)))
        with pytest.raises(UserError, match=rf"wide would have [\d,]+ weights, for images of {side}×{side}×3 and 10"):
            networks.require_exportable("wide", wide, (side, side, 3), 10)
    networks.require_exportable("wide", wide, (224, 224, 3), 10)


@pytest.mark.parametrize(("pooling", "reduce"), [("global_max", np.max), ("global_average", np.mean)])
def test_dense_layers_may_get_one_number_per_channel(pooling, reduce):
    config = CNNModel.model_validate({**DENSE, "family": "cnn", "convolutions": [{"filters": 5}], "pooling": pooling})
    *_, maps, pooled, output = networks.build_network(config, (9, 12, 3), 4).layers
    assert (maps.output.shape, pooled.output.shape, output.output.shape) == ((None, 7, 10, 5), (None, 5), (None, 4))
    images = np.random.default_rng(0).random((2, 7, 10, 5), np.float32)
    np.testing.assert_allclose(pooled(images), reduce(images, axis=(1, 2)), rtol=1e-5)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_members_answer_with_the_mean_of_their_probabilities(number):
    config = DenseModel.model_validate(DENSE | {"members": number})
    members = [networks.build_member(config, MNIST_SHAPE, 10) for _ in range(number)]
    images = np.random.default_rng(0).random((4, *MNIST_SHAPE), np.float32)
    expected = np.mean([member(images) for member in members], axis=0)
    network = networks.join_members(config, members)
    np.testing.assert_allclose(network(images), expected, atol=1e-6)
    assert len(networks.list_members(network)) == number
