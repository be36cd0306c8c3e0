import keras
import numpy as np
import pytest

from pipeline.config.model import DenseModel, PerceptronModel
from pipeline.training import networks, published
from tests.helpers.configs import CNN, DENSE, MNIST_SHAPE, random_pixels


def test_a_model_config_survives_as_a_keras_file(tmp_path):
    layers = [{"units": 3, "activation": {"name": "leaky_relu", "negative_slope": 0.3}}, {"units": 3, "dropout": 0.1}]
    config = DenseModel.model_validate({**DENSE, "dense": layers})
    model = published.take_pixels(networks.build_network(config, MNIST_SHAPE, 10), config)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 28, 28)).astype(np.float32)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(pixels, verbose=0), model.predict(pixels, verbose=0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wanted", "move"),
    [
        ({"horizontal_flip": True}, lambda images: [images, images[:, :, ::-1]]),
        ({"translation": 2}, lambda images: [images, *shift(images, 2)]),
        (
            {"horizontal_flip": True, "translation": 1},
            lambda images: [images, *shift(images, 1), *(view[:, :, ::-1] for view in (images, *shift(images, 1)))],
        ),
    ],
)
def test_views_are_averaged_in_the_published_model_alone(wanted, move):
    config = DenseModel.model_validate(DENSE | {"test_time_augmentation": wanted})
    network = networks.build_network(config, (8, 6, 3), 10)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 6, 3)).astype(np.float32)
    answers = published.take_pixels(network, config).predict(pixels, verbose=0)
    views = [network.predict(view / 255, verbose=0) for view in move(pixels)]
    np.testing.assert_allclose(answers, np.mean(views, axis=0), atol=1e-6)
    assert np.abs(answers - views[0]).max() > 1e-3


def test_a_temperature_divides_the_logits_of_the_published_model_alone():
    network = networks.build_network(CNN, MNIST_SHAPE, 10)
    before = network.get_weights()
    plain, soft = (published.take_pixels(network, CNN, temperature) for temperature in (1.0, 2.5))
    pixels = random_pixels().astype(np.float32)
    logits = np.log(plain.predict(pixels, verbose=0)) / 2.5
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(soft.predict(pixels, verbose=0), expected, rtol=1e-4)
    for now, then in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.slow
def test_members_answer_together_and_take_one_temperature():
    config = CNN.model_copy(update={"members": 3})
    members = [networks.build_member(config, MNIST_SHAPE, 10) for _ in range(3)]
    network = networks.join_members(config, members)
    pixels = random_pixels().astype(np.float32)
    images = pixels[..., np.newaxis] / 255
    apart = [member.predict(images, verbose=0) for member in members]
    assert np.abs(apart[0] - apart[1]).max() > 1e-4
    np.testing.assert_allclose(network.predict(images, verbose=0), np.mean(apart, axis=0), atol=1e-6)
    assert network.count_params() == 3 * members[0].count_params()
    model = published.take_pixels(network, config, temperature=0.5)
    sharper = [answers**2 / (answers**2).sum(axis=1, keepdims=True) for answers in apart]
    np.testing.assert_allclose(model.predict(pixels, verbose=0), np.mean(sharper, axis=0), atol=1e-5)


def shift(images: np.ndarray, distance: int) -> list[np.ndarray]:
    """Return the images moved left, right, up and down, with black in the area that became free."""
    none, one = (0, 0), (distance, distance)
    padded = np.pad(images, (none, one, one, none))
    height, width = images.shape[1:3]
    corners = ((1, 2), (1, 0), (2, 1), (0, 1))
    return [padded[:, y * distance :][:, :height, x * distance :][:, :, :width] for y, x in corners]


def test_the_perceptron_gives_a_distribution_over_the_classes_once_it_is_published():
    config = PerceptronModel(family="perceptron", learning_rate=0.5, batch_size=1, epochs=1)
    network = networks.build_network(config, MNIST_SHAPE, 3)
    weights = np.random.default_rng(0).normal(size=(784, 3)).astype(np.float32)
    network.set_weights([weights, np.ones(3)])
    pixels = np.random.default_rng(1).integers(0, 256, (2, 28, 28)).astype(np.float32)
    scores = (pixels / 255).reshape(2, 784) @ weights
    expected = np.exp(scores - scores.max(axis=1, keepdims=True))
    answers = published.take_pixels(network, config).predict(pixels, verbose=0)
    np.testing.assert_allclose(answers, expected / expected.sum(axis=1, keepdims=True), atol=1e-4)
