"""Rosenblatt's threshold units, which learn image by image: a step too small for TensorFlow, so NumPy takes it."""

import keras
import numpy as np
import tensorflow as tf

from pipeline.config.model import PerceptronModel
from pipeline.data.arrays import FloatArray
from pipeline.data.pixels import SCALE


class Perceptron(keras.Model):  # type: ignore[misc]  # Keras has no types
    """Threshold units, one per class against the rest, that `fit` trains by Rosenblatt's rule, from zero weights.

    It cuts the batches that it is given into those of the model's section: a step of TensorFlow for each image would
    take nine times as long. Weights are counted in grey levels, whole numbers, which float64 adds without rounding:
    with one image at a time, every processor learns the same.
    Source: F. Rosenblatt, Principles of Neurodynamics, 1962, chapter 5 (error correction).
    """

    def __init__(self, units: keras.Model, config: PerceptronModel):
        """Take the units, images [n, height, width, channels] to net inputs [n, classes], as one dense layer."""
        super().__init__(units.input, units.output)
        self._config = config
        self._kernel, self._bias = (np.zeros(weights.shape) for weights in self.trainable_variables)

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Learn from images and one-hot labels; return the metrics of the answers before each correction."""
        images, labels = data
        net_input, *learned = tf.numpy_function(self.learn, [images, labels], [tf.float32] * 3)
        net_input = tf.ensure_shape(net_input, labels.shape)
        for weights, value in zip(self.trainable_variables, learned, strict=True):
            weights.assign(tf.ensure_shape(value, weights.shape))
        loss = self.compute_loss(y=labels, y_pred=net_input)
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(images)[0])
        metrics: dict[str, tf.Tensor] = self.compute_metrics(images, labels, net_input)
        return metrics

    def learn(self, images: FloatArray, labels: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Correct the units after each batch; return the net inputs [n, units] that were judged, kernel and bias.

        Each unit that fired wrongly loses the image, each that should have fired gains it.
        """
        pixels = np.rint(images.reshape(len(images), -1) / SCALE).astype(np.float64)
        net_input = np.empty(labels.shape)
        for start in range(0, len(pixels), self._config.batch_size):
            batch = slice(start, start + self._config.batch_size)
            # A bias is the weight of a pixel that is always white; it is counted as often as one is scaled.
            net_input[batch] = pixels[batch] @ self._kernel + self._bias / float(SCALE) ** 2
            errors = (net_input[batch] > 0) - labels[batch]
            if errors.any():
                self._kernel -= pixels[batch].T @ errors / len(errors)
                self._bias -= errors.mean(axis=0)
        rate = self._config.learning_rate
        learned = net_input * float(SCALE) ** 2, self._kernel * float(SCALE), self._bias
        scaled_net_input, kernel, bias = ((rate * values).astype(np.float32) for values in learned)
        return scaled_net_input, kernel, bias


def rosenblatt(labels: keras.KerasTensor, net_input: keras.KerasTensor) -> keras.KerasTensor:
    """Return the loss that Rosenblatt's rule descends: how far the units that are wrong are from being right.

    One-hot labels and net inputs, both [n, units], to [n]; zero where every unit is right.
    """
    step = keras.ops.cast(net_input > 0, net_input.dtype)
    return keras.ops.sum((step - labels) * net_input, axis=-1)
