import keras
import numpy as np
import pytest

from pipeline.training import fused


def make_network(batch_normalization: type[keras.layers.Layer]) -> keras.Model:
    keras.utils.set_random_seed(0)
    images = keras.Input((6, 5, 2))
    x = keras.layers.Activation("relu")(
        batch_normalization(momentum=0.9)(keras.layers.Conv2D(4, 3, use_bias=False)(images))
    )
    x = batch_normalization(momentum=0.9)(keras.layers.Dense(7, use_bias=False)(keras.layers.Flatten()(x)))
    return keras.Model(images, keras.layers.Dense(3, activation="softmax")(x))


def train(network: keras.Model, optimizer: keras.optimizers.Optimizer) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    images = random.normal(size=(64, 6, 5, 2)).astype(np.float32)
    labels = np.eye(3, dtype=np.float32)[random.integers(0, 3, 64)]
    network.compile(optimizer, "categorical_crossentropy")
    network.fit(images, labels, batch_size=16, epochs=2, shuffle=False, verbose=0)
    return network.get_weights()


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [{}, {"beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3}, {"amsgrad": True}, {"use_ema": True, "weight_decay": 0.1}],
)
def test_adam_takes_keras_steps(arguments):
    results = [
        train(make_network(keras.layers.BatchNormalization), optimizer(learning_rate=0.01, **arguments))
        for optimizer in (keras.optimizers.Adam, fused.Adam)
    ]
    for expected, weights in zip(*results, strict=True):
        np.testing.assert_allclose(weights, expected, atol=2e-5)


def test_batch_normalization_trains_and_answers_as_keras_does():
    results = [
        train(make_network(layer), keras.optimizers.SGD(0.1))
        for layer in (keras.layers.BatchNormalization, fused.BatchNormalization)
    ]
    for expected, weights in zip(*results, strict=True):
        # The moving variance is that of the unbiased estimate: for 16 images of 4×3 places, a factor of 192/191.
        np.testing.assert_allclose(weights, expected, rtol=0.006, atol=1e-4)
    network = make_network(fused.BatchNormalization)
    images = np.random.default_rng(1).normal(size=(8, 6, 5, 2)).astype(np.float32)
    stock = make_network(keras.layers.BatchNormalization)
    np.testing.assert_allclose(network.predict(images, verbose=0), stock.predict(images, verbose=0), atol=1e-6)
