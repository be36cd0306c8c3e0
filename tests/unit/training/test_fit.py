import importlib.util
import sys

import numpy as np
import pytest
from pydantic import TypeAdapter
from tensorflow.python.framework.config import is_op_determinism_enabled

from pipeline.config.keras_objects import KerasObject
from pipeline.config.model import (
    CNNModel,
    DenseModel,
    EarlyStopping,
    ExponentialDecay,
    Model,
)
from pipeline.data.pixels import as_raw, normalise
from pipeline.data.prepared import Split, TrainingData, load_training_data
from pipeline.evaluation.metrics import score
from pipeline.training import batches, fit, networks, published
from pipeline.training.fit import DivergedError, require_finite, train_model
from pipeline.training.whitening import compute_whitening
from tests.helpers.configs import MNIST_SHAPE
from tests.helpers.datasets import write_numbered_data

SECTION = {"family": "dense", "dense": [{"units": 4}], "optimizer": "SGD", "batch_size": 10, "epochs": 2}
CONFIG = DenseModel.model_validate(SECTION)


@pytest.fixture(autouse=True)
def _one_step_at_a_time(monkeypatch):
    """Build small graphs: building a graph of 64 steps takes longer than these trainings."""
    monkeypatch.setattr(networks, "STEPS_PER_EXECUTION", 1)


@pytest.fixture
def data(tmp_path) -> TrainingData:
    """A prepared data set whose images differ in their first pixel."""
    write_numbered_data(tmp_path, train=95, val=20)
    return load_training_data(tmp_path)


def test_every_epoch_is_reported_with_the_validation_accuracy(data, capsys):
    seen = []
    network, epochs = train_model("some", CONFIG, data, 0, seen.append)
    assert [epoch["epoch"] for epoch in epochs] == [1, 2]
    assert seen == epochs
    for epoch in epochs:
        assert list(epoch) == ["epoch", "metrics", "seconds", "finished", "system"]
        assert list(epoch["metrics"]) == ["loss", "accuracy", "val_loss", "val_accuracy"]
        assert 0 < epoch["seconds"] < 60
    assert epochs[0]["finished"] < epochs[1]["finished"]
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines] == [["some", "epoch 1/2"], ["some", "epoch 2/2"]]
    metrics = epochs[1]["metrics"]
    assert lines[1][2:6] == [f"{key} {value:.4f}" for key, value in metrics.items()]
    assert lines[1][6] == f"{epochs[1]['seconds']:.1f} s"
    right = (network.predict(normalise(data.val.pixels), verbose=0).argmax(axis=1) == data.val.labels).mean()
    assert metrics["val_accuracy"] == pytest.approx(right)


@pytest.mark.slow
@pytest.mark.parametrize(
    "section",
    [
        {"family": "perceptron", "learning_rate": 0.1},
        {"family": "dense", "optimizer": "SGD", "loss": {"name": "categorical_crossentropy", "label_smoothing": 0.3}},
    ],
)
def test_the_validation_loss_of_each_model_is_what_evaluate_measures(data, section):
    config = TypeAdapter(Model).validate_python(section | {"batch_size": 10, "epochs": 1})
    network, (epoch,) = train_model("some", config, data, 0)
    pixels = as_raw(data.val.pixels).astype(np.float32)
    answers = published.take_pixels(network, config).predict(pixels, verbose=0)
    measured = score(data.val.labels, answers)
    assert epoch["metrics"]["val_loss"] == pytest.approx(measured["loss"], rel=1e-5)


@pytest.mark.slow
def test_no_other_temperature_gives_the_published_model_a_lower_loss():
    """With members and views: the temperature softens each of them before they are averaged."""
    averaged = {"members": 3, "test_time_augmentation": {"translation": 1}}
    config = DenseModel.model_validate(SECTION | averaged)
    network = networks.build_network(config, MNIST_SHAPE, 10)
    pixels = np.random.default_rng(0).integers(0, 256, (60, *MNIST_SHAPE)).astype(np.uint8)
    labels = published.take_pixels(network, config).predict(as_raw(pixels), verbose=0).argmax(axis=1)
    labels[::3] = np.arange(20) % 10  # a third are wrong
    split = Split(pixels, labels.astype(np.uint16), np.arange(60))

    def loss(temperature: float) -> float:
        answers = published.take_pixels(network, config, temperature).predict(as_raw(pixels), verbose=0)
        return -np.log(answers[np.arange(60), labels]).sum() - np.log(answers).mean()  # one more image, with any label

    found = fit.measure_temperature(network, config, split)
    assert 0.02 < found < 50
    assert loss(found) < min(loss(0.9 * found), loss(1.1 * found))


@pytest.mark.slow
def test_members_are_trained_from_seeds_of_their_own_the_first_as_if_alone(data, capsys):
    config = CONFIG.model_copy(update={"members": 2})
    joint, epochs = train_model("some", config, data, 0)
    alone, _ = train_model("some", CONFIG, data, 0)
    second, _ = train_model("some", CONFIG, data, fit.MEMBERS_APART)
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3, 4]
    assert "some  epoch 4/4" in capsys.readouterr().out
    for member, expected in zip(networks.list_members(joint), (alone, second), strict=True):
        for weights, own in zip(member.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(weights, own)
    assert not config.publishes_last_epoch


@pytest.mark.slow
def test_training_ends_when_the_validation_loss_no_longer_falls_and_restores_the_best_weights_if_asked_to(data):
    # With such a learning rate the validation loss soon rises.
    section = {"family": "dense", "optimizer": {"name": "SGD", "learning_rate": 30.0}, "batch_size": 10, "epochs": 9}
    stopping = {"early_stopping": {"patience": 2, "restore_best_weights": True}}
    network, epochs = train_model("some", DenseModel.model_validate(section | stopping), data, 0)
    losses = [epoch["metrics"]["val_loss"] for epoch in epochs]
    best = losses.index(min(losses))
    assert (len(losses), best) == (best + 3, len(losses) - 3)
    assert len(losses) < 9
    answers = network.predict(normalise(data.val.pixels), verbose=0)
    assert score(data.val.labels, answers)["loss"] == pytest.approx(losses[best], rel=1e-4)


def test_a_receipt_without_early_stopping_is_what_it_was():
    assert "early_stopping" not in CONFIG.model_dump(mode="json")
    stopping = CONFIG.model_copy(update={"early_stopping": EarlyStopping(patience=9)})
    assert stopping.model_dump(mode="json")["early_stopping"]["patience"] == 9


@pytest.mark.slow
def test_averaged_weights_are_measured_as_they_are_published(data):
    averaged = KerasObject(name="Adam", arguments={"use_ema": True, "ema_momentum": 0.5, "learning_rate": 0.1})
    config = CONFIG.model_copy(update={"optimizer": averaged})
    assert not config.publishes_last_epoch
    network, _ = train_model("some", config, data, 0)
    right = (network.predict(normalise(data.val.pixels), verbose=0).argmax(axis=1) == data.val.labels).mean()
    assert fit.measure_accuracy(network, config, data.val, 1.0) == pytest.approx(right)


@pytest.mark.slow
def test_whitening_filters_come_from_the_training_images_and_are_not_trained(data):
    layers = [{"filters": 4, "kernel_size": 3, "whitening": True}, {"filters": 2, "pool_size": 2}]
    section = {"family": "cnn", "convolutions": layers, "optimizer": {"name": "SGD", "weight_decay": 0.1}}
    config = CNNModel.model_validate(section | {"batch_size": 10, "epochs": 2})
    network, _ = train_model("some", config, data, 0)
    for found, expected in zip(network.get_weights(), compute_whitening(data.train.pixels, 3, 4), strict=False):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_a_training_begins_from_its_seed_alone(data, monkeypatch):
    monkeypatch.setattr(fit, "fit", lambda name, network, *_, **__: [layer.name for layer in network.layers])
    runs = [train_model("some", CONFIG, data, seed) for seed in (0, 1, 0)]
    weights = [network.get_weights()[0] for network, _ in runs]
    np.testing.assert_array_equal(weights[0], weights[2])
    assert (weights[0] != weights[1]).any()
    assert runs[0][1] == runs[1][1]  # Keras counts the layers that it names
    assert is_op_determinism_enabled()


def test_the_schedule_spans_the_steps_of_an_epoch(data, monkeypatch):
    monkeypatch.setattr(fit, "fit", lambda name, network, *_, **__: [network.optimizer._learning_rate.decay_steps])
    schedule = ExponentialDecay(name="exponential_decay", decay_rate=0.5)
    _, (steps,) = train_model("some", CONFIG.model_copy(update={"schedule": schedule}), data, 0)
    assert steps == 10  # 95 images, 10 per step


@pytest.mark.slow
def test_a_learning_rate_that_is_far_too_large_fails(data):
    rate = KerasObject(name="SGD", arguments={"learning_rate": 1e38})
    wild = CONFIG.model_copy(update={"dense": (), "optimizer": rate})
    with pytest.raises(DivergedError, match=r"some diverged in epoch \d.*learning_rate in models.some"):
        fit.fit("some", networks.build_compiled(wild, MNIST_SHAPE, 10, 10), wild, data, seed=0)


@pytest.mark.slow
def test_weights_that_are_lost_behind_a_finite_loss_fail(data, monkeypatch):
    monkeypatch.setattr(batches, "normalise", lambda pixels: np.full(pixels.shape, np.nan, np.float32))
    with pytest.raises(DivergedError, match="some diverged in epoch 1"):
        fit.fit("some", networks.build_compiled(CONFIG, MNIST_SHAPE, 10, 10), CONFIG, data, seed=0)


class Network:
    """A network with these weights."""

    def __init__(self, *weights: float):
        self.get_weights = lambda: [np.zeros(3), np.array(weights)]


@pytest.mark.parametrize(("weight", "loss"), [(np.nan, 1.0), (np.inf, 1.0), (0.0, np.nan), (0.0, np.inf)])
def test_what_is_not_finite_is_refused(weight, loss):
    require_finite("some", Network(1.0, 0.0), 3, 0.5)
    with pytest.raises(DivergedError, match=r"some diverged in epoch 3 .*models.some"):
        require_finite("some", Network(1.0, weight), 3, loss)


def test_the_load_of_the_machine_is_measured_by_mlflows_names():
    load = fit.measure_system_load()
    assert set(load) == {
        "cpu_utilization_percentage", "system_memory_usage_megabytes", "system_memory_usage_percentage",
    }  # fmt: skip
    assert 0 < load["system_memory_usage_percentage"] < 100
    assert 100 < load["system_memory_usage_megabytes"] < 1e8


def test_modules_are_unavailable_for_a_while_unless_they_are_imported_already():
    assert "this" not in sys.modules
    with fit.unavailable("this", "sys"):
        import sys as known

        with pytest.raises(ImportError):
            importlib.import_module("this")
    assert known is sys
    assert importlib.util.find_spec("this")
