"""Rosenblatt's threshold units, which learn image by image: NumPy computes such small steps faster than TensorFlow."""

import keras
import numpy as np
import tensorflow as tf

from pipeline.config.model import PerceptronModel
from pipeline.data.arrays import FloatArray
from pipeline.data.pixels import SCALE


class Perceptron(keras.Model):  # type: ignore[misc]  # Keras has no types
    """Threshold units, one per class against the rest, that `fit` trains by Rosenblatt's rule, from zero weights.

    It splits the batches that it gets into batches of the configured size: one TensorFlow step per image would take
    nine times as long. Weights are sums of grey levels, which are whole numbers, so float64 adds them without rounding:
    with one image per batch, every processor learns the same weights.
    Source: F. Rosenblatt, Principles of Neurodynamics, 1962, chapter 5 (error correction).
    """

    def __init__(self, units: keras.Model, config: PerceptronModel):
        """Wrap `units`, one dense layer from images [n, height, width, channels] to net inputs [n, classes]."""
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
        """Correct the units after each batch; return net inputs [n, units] before the corrections, kernel and bias.

        The image is subtracted from the weights of a unit that fired wrongly, and added to those of one that should
        have fired.
        """
        pixels = np.rint(images.reshape(len(images), -1) / SCALE).astype(np.float64)
        net_input = np.empty(labels.shape)
        for start in range(0, len(pixels), self._config.batch_size):
            batch = slice(start, start + self._config.batch_size)
            # Pixels and kernel are unscaled here, so their product is 1 / SCALE² times as large; scale the bias alike.
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
    """Return the loss that Rosenblatt's rule minimises, [n]: how far the wrong units are from the right answer.

    It takes one-hot labels and net inputs, both [n, units]; it is zero for an image on which every unit is right.
    """
    step = keras.ops.cast(net_input > 0, net_input.dtype)
    return keras.ops.sum((step - labels) * net_input, axis=-1)
