from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config.model import Augmentation, DenseModel, PerceptronModel
from pipeline.data.pixels import normalise
from pipeline.data.prepared import TrainingData, load_training_data
from pipeline.training.batches import draw_order, make_batches, make_validation_batches
from tests.helpers.datasets import write_numbered_data

CONFIG = DenseModel.model_validate({"family": "dense", "optimizer": "SGD", "batch_size": 10, "epochs": 2})


@pytest.fixture(autouse=True)
def _determinism():
    """Use the same computation settings as training does."""
    tf.config.experimental.enable_op_determinism()


@pytest.fixture
def data(tmp_path) -> TrainingData:
    """A prepared data set whose images differ in their first pixel."""
    write_numbered_data(tmp_path, train=95, val=20)
    return load_training_data(tmp_path)


@pytest.fixture(params=["buffer", "permutation"])
def _way(request, monkeypatch):
    """Shuffle in both ways: with a buffer, as for up to a million images, and with permutations, as for more images."""
    if request.param == "permutation":
        monkeypatch.setattr("pipeline.training.batches.MAX_BUFFERED_IMAGES", 0)


def draw_epoch(batches) -> list[int]:
    return [number for images, _ in batches for number in numbers_of(images)]


def numbers_of(images) -> list[int]:
    """Return the number in each image's first pixel."""
    return np.rint(images.numpy()[:, 0, 0, 0] * 255).astype(int).tolist()


def batches_of(data: TrainingData, seed: int, config=CONFIG):
    return make_batches(data.train, data.classes, config, seed)


def test_no_thread_tunes_the_batches_for_whose_sleep_an_epoch_would_wait(data):
    for batches in (batches_of(data, seed=0), make_validation_batches(data.val, data.classes)):
        assert batches.options().autotune.enabled is False


@pytest.mark.usefixtures("_way")
def test_each_epoch_has_every_image_once_in_an_order_of_its_own(data):
    batches = batches_of(data, seed=0)
    first, second = draw_epoch(batches), draw_epoch(batches)
    assert sorted(first) == sorted(second) == list(range(95))
    assert first != second
    assert first != sorted(first)


@pytest.mark.usefixtures("_way")
def test_batches_are_as_large_as_the_parameters_say_and_keep_each_image_with_its_label(data):
    batches = list(batches_of(data, seed=0))
    assert [len(images) for images, _ in batches] == [10] * 9 + [5]
    for images, labels in batches:
        np.testing.assert_array_equal(labels, np.eye(10)[np.array(numbers_of(images)) % 10])


@pytest.mark.usefixtures("_way")
def test_the_order_repeats_with_the_seed(data):
    runs = [[draw_epoch(b), draw_epoch(b)] for seed in (0, 0, 1) for b in [batches_of(data, seed)]]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.usefixtures("_way")
def test_the_perceptron_gets_its_batches_together_and_the_images_as_they_are(data):
    config = PerceptronModel(family="perceptron", learning_rate=1.0, batch_size=1, epochs=1)
    ((images, _),) = batches_of(data, seed=0, config=config)
    assert numbers_of(images) == draw_epoch(batches_of(data, seed=0))
    assert batches_of(data, seed=0, config=config).cardinality() == 1
    np.testing.assert_array_equal(images, normalise(data.train.pixels[numbers_of(images)]))


def test_augmentation_differs_in_each_epoch_and_repeats_with_the_seed(data):
    config = CONFIG.model_copy(update={"augmentation": Augmentation(translation=2)})
    # So that two epochs differ only in their augmentation.
    split = replace(data.train, pixels=np.repeat(data.train.pixels[50:51], 95, axis=0))

    def draw_epochs(seed: int) -> list[np.ndarray]:
        batches = make_batches(split, data.classes, config, seed)
        return [np.concatenate([batch.numpy() for batch, _ in batches]) for _ in range(2)]

    first, second = draw_epochs(0)
    assert (first != second).any()
    np.testing.assert_array_equal(draw_epochs(0), [first, second])


def test_permutations_mix_batches_as_well_as_chance_and_differ_between_epochs(monkeypatch):
    monkeypatch.setattr("pipeline.training.batches.MAX_BUFFERED_IMAGES", 0)
    order = draw_order(200_000, size=125, seed=0)
    first, second = (np.array(list(order.as_numpy_iterator())) for _ in range(2))
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.01  # standard deviation by chance: 0.002
    spread = first.mean(axis=1).std() / (first.std() / np.sqrt(125))
    assert 0.9 < spread < 1.1  # standard deviation by chance: 0.018
