"""Other people's networks for MNIST, trained as their sources publish them, with their libraries' plain functions.

Two things differ from the sources: all networks train on the 55,000 images that this project trains on, and PyTorch's
batches are cut from tensors in memory, which is faster than the source's loader.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]
"""Float32 [n, 28, 28] in [0, 1]."""
Predict = Callable[[Images], NDArray[np.float32]]
EndEpoch = Callable[[Predict], None]


class Rival(NamedTuple):
    """Another person's network, and how it is trained."""

    package: str
    """The package that trains it; imported before the clock starts."""
    train: Callable[[Images, NDArray[np.int64], int, EndEpoch], None]
    """A function of images, labels [n], a seed, and a callback that gets the predict function after each epoch."""


def train_cnn_2m(images: Images, labels: NDArray[np.int64], seed: int, end_epoch: EndEpoch) -> None:
    """Train the introduction's network of two million weights for two epochs, in plain Keras."""
    import keras

    layers = [
        keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.MaxPooling2D(2),
        keras.layers.Conv2D(64, 3, activation="relu"),
        keras.layers.Conv2D(64, 3, activation="relu"),
        keras.layers.MaxPooling2D(2),
        keras.layers.Flatten(),
        keras.layers.Dense(1024, activation="sigmoid"),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(1024, activation="sigmoid"),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(10, activation="softmax"),
    ]
    _fit_keras(layers, "adam", 32, 2, images, labels, seed, end_epoch)


def train_dense_512(images: Images, labels: NDArray[np.int64], seed: int, end_epoch: EndEpoch) -> None:
    """Train the first network of F. Chollet, Deep Learning with Python (2017), chapter 2."""
    import keras

    layers = [
        keras.layers.Flatten(),
        keras.layers.Dense(512, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
    _fit_keras(layers, "rmsprop", 128, 5, images, labels, seed, end_epoch)


def train_mnist_convnet(images: Images, labels: NDArray[np.int64], seed: int, end_epoch: EndEpoch) -> None:
    """Train the network of Keras' own example, Simple MNIST convnet (F. Chollet, 2015)."""
    import keras

    layers = [
        keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.MaxPooling2D(2),
        keras.layers.Conv2D(64, 3, activation="relu"),
        keras.layers.MaxPooling2D(2),
        keras.layers.Flatten(),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(10, activation="softmax"),
    ]
    _fit_keras(layers, "adam", 128, 15, images, labels, seed, end_epoch)


def _fit_keras(
    layers: list[object],
    optimizer: str,
    batch_size: int,
    epochs: int,
    images: Images,
    labels: NDArray[np.int64],
    seed: int,
    end_epoch: EndEpoch,
) -> None:
    import keras

    keras.utils.set_random_seed(seed)
    network = keras.Sequential([keras.Input((28, 28, 1)), *layers])
    network.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])

    def predict(test: Images) -> NDArray[np.float32]:
        answers: NDArray[np.float32] = network.predict(test[..., np.newaxis], verbose=0)
        return answers

    network.fit(
        images[..., np.newaxis],
        keras.utils.to_categorical(labels),
        batch_size=batch_size,
        epochs=epochs,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: end_epoch(predict))],
    )


def train_pytorch(images: Images, labels: NDArray[np.int64], seed: int, end_epoch: EndEpoch) -> None:
    """Train the network of PyTorch's examples/mnist: Adadelta, 14 epochs, the learning rate times 0.7 after each."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    network = nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)),
        *(nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10), nn.LogSoftmax(dim=1)),
    )
    optimizer = torch.optim.Adadelta(network.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)

    def standardise(chosen: Images) -> torch.Tensor:
        return torch.from_numpy((chosen[:, np.newaxis] - np.float32(0.1307)) / np.float32(0.3081))

    def predict(test: Images) -> NDArray[np.float32]:
        network.eval()
        with torch.no_grad():
            parts = [network(standardise(test[start : start + 1000])) for start in range(0, len(test), 1000)]
        answers: NDArray[np.float32] = torch.cat(parts).numpy()
        return answers

    inputs, targets = standardise(images), torch.from_numpy(labels)
    for _ in range(14):
        network.train()
        for batch in torch.randperm(len(inputs)).split(64):
            optimizer.zero_grad()
            nn.functional.nll_loss(network(inputs[batch]), targets[batch]).backward()
            optimizer.step()
        schedule.step()
        end_epoch(predict)


RIVALS = {
    "cnn_2m as published": Rival("keras", train_cnn_2m),
    "dense_512 as published": Rival("keras", train_dense_512),
    "mnist_convnet": Rival("keras", train_mnist_convnet),
    "examples/mnist": Rival("torch", train_pytorch),
}
