import numpy as np
import pytest

from pipeline.config.model import PerceptronModel
from pipeline.data.pixels import encode_one_hot, normalise
from pipeline.training import networks

IMAGES, CLASSES = 40, 3
SHAPE = (4, 5, 1)
RATE = 0.5
CONFIG = PerceptronModel(family="perceptron", learning_rate=RATE, batch_size=1, epochs=1)


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    """Images in the form that training gets, and one-hot labels."""
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (IMAGES, *SHAPE)).astype(np.uint8)
    return normalise(pixels), encode_one_hot(random.integers(0, CLASSES, IMAGES), CLASSES)


def train(images: np.ndarray, labels: np.ndarray, size: int, together: int):
    network = networks.build_compiled(CONFIG.model_copy(update={"batch_size": size}), SHAPE, CLASSES, steps_per_epoch=1)
    history = network.fit(images, labels, batch_size=together, shuffle=False, verbose=0).history
    return network, {name: values[0] for name, values in history.items()}


@pytest.mark.parametrize("size", [1, 8])
def test_it_learns_by_rosenblatts_rule_and_is_judged_before_each_correction(data, size):
    images, labels = data
    flat = images.reshape(IMAGES, -1).astype(float)
    weights, biases, net_input = np.zeros((flat.shape[1], CLASSES)), np.zeros(CLASSES), []
    for start in range(0, IMAGES, size):
        image, label = flat[start : start + size], labels[start : start + size]
        net_input.extend(image @ weights + biases)
        wrong = label - (net_input[-size:] > np.array(0))  # +1: should have fired; −1: should not have
        weights += RATE * image.T @ wrong / size
        biases += RATE * wrong.mean(axis=0)
    network, metrics = train(images, labels, size, together=16)
    np.testing.assert_allclose(network.get_weights()[0], weights, atol=1e-5)
    np.testing.assert_allclose(network.get_weights()[1], biases, atol=1e-5)
    answers = np.array(net_input)
    assert metrics["accuracy"] == pytest.approx((answers.argmax(axis=1) == labels.argmax(axis=1)).mean())
    assert metrics["loss"] == pytest.approx((((answers > 0) - labels) * answers).sum(axis=1).mean(), rel=1e-5)


def test_how_many_images_come_together_changes_nothing(data):
    weights = [train(*data, size=1, together=together)[0].get_weights() for together in (1, 16)]
    np.testing.assert_array_equal(weights[0][0], weights[1][0])
    np.testing.assert_array_equal(weights[0][1], weights[1][1])


def test_what_rounding_would_decide_is_decided_exactly():
    """A unit adds an image and subtracts one with permuted pixels: a plain grey image then gives exactly 0."""
    random = np.random.default_rng(1)
    for _ in range(20):
        image = random.integers(0, 256, SHAPE)
        pixels = np.stack([image, random.permutation(image.ravel()).reshape(SHAPE), np.full(SHAPE, 200)])
        images, labels = normalise(pixels.astype(np.uint8)), encode_one_hot(np.array([0, 1, 1]), CLASSES)
        network = networks.build_compiled(CONFIG, SHAPE, CLASSES, steps_per_epoch=1)
        _, kernel, bias = network.learn(images, labels)
        # At 0 the unit doesn't fire, and it learns nothing.
        np.testing.assert_allclose(kernel[:, 0], RATE * (images[0] - images[1]).ravel(), atol=1e-6)
        assert bias[0] == 0
