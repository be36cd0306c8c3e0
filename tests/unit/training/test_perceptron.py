import numpy as np
import pytest

from pipeline.config.model import PerceptronModel
from pipeline.data.pixels import encode_one_hot, normalise
from pipeline.training import networks

IMAGES, CLASSES = 40, 3
SHAPE = (4, 5, 1)
RATE = 0.5


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    """Images as training gets them, and one-hot labels."""
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (IMAGES, *SHAPE)).astype(np.uint8)
    return normalise(pixels), encode_one_hot(random.integers(0, CLASSES, IMAGES), CLASSES)


def train(images: np.ndarray, labels: np.ndarray, size: int, together: int):
    config = PerceptronModel(family="perceptron", learning_rate=RATE, batch_size=size, epochs=1)
    network = networks.build_compiled(config, SHAPE, CLASSES, steps_per_epoch=1)
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


def test_the_order_in_which_a_processor_adds_changes_nothing(data):
    images, labels = data
    # Pixels in another order are added in another order.
    order = np.random.default_rng(2).permutation(images[0].size)
    shuffled = images.reshape(IMAGES, -1)[:, order].reshape(images.shape)
    kernels = [train(given, labels, size=1, together=16)[0].get_weights()[0] for given in (images, shuffled)]
    np.testing.assert_array_equal(kernels[0][order], kernels[1])
