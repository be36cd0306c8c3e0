"""The batches of a training: read from memory maps in a new order in each epoch, and augmented."""

import math

import numpy as np
import tensorflow as tf

from pipeline.config.model import Augmentation, ModelConfig, PerceptronModel
from pipeline.data.pixels import encode_one_hot, normalise
from pipeline.data.prepared import Split
from pipeline.inference import count_batch_images
from pipeline.training.augmentation import augment, find_reach

MAX_BUFFERED_IMAGES = 1_000_000  # tf.data's shuffle keeps the order in memory, with 200 bytes per image
# The default of 4 mixes badly: with 200,000 places, the means of batches spread 0.75 times as far as by chance, and the
# orders of two epochs correlate by up to 0.09; with 8 rounds, these figures are 1.00 and 0.004.
PERMUTATION_ROUNDS = 8


def make_batches(split: Split, classes: int, config: ModelConfig, seed: int) -> tf.data.Dataset:
    """Return a tf.data set of (images, labels) batches, shuffled and augmented differently in each epoch, by seed.

    Images are float32 [batch, height, width, channels] in [0, 1], labels one-hot, float32 [batch, classes]. The
    perceptron gets several of its batches at once, and cuts them itself.
    """
    size, count = config.batch_size, len(split.pixels)
    # Several small batches are read at once, because each reading returns to Python.
    several = size * max(1, count_batch_images(split.pixels.shape[1:]) // size)

    def cut(images: tf.Tensor, one_hot: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((images, one_hot)).batch(size)

    batches = gather(split, classes, draw_order(count, several, seed))
    if not isinstance(config, PerceptronModel):
        batches, several = batches.flat_map(cut), size
    # Keras must know the number of batches: it runs many of them between two returns to Python.
    batches = batches.apply(tf.data.experimental.assert_cardinality(math.ceil(count / several)))
    reach = find_reach(config)
    if reach != Augmentation():
        seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
        batches = tf.data.Dataset.zip(batches, seeds).map(
            lambda batch, seed: (augment(batch[0], seed, reach), batch[1])
        )
    return _run_ahead(batches)


def make_validation_batches(split: Split, classes: int) -> tf.data.Dataset:
    """Return a tf.data set of (images, labels) batches in the split's order, of the same form as `make_batches`."""
    places = tf.data.Dataset.range(len(split.pixels)).batch(count_batch_images(split.pixels.shape[1:]))
    return _run_ahead(gather(split, classes, places))


def _run_ahead(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Return the batches; two more are prepared while the network computes with one."""
    options = tf.data.Options()
    # Nothing here needs autotuning, and its thread may miss the end of an epoch: TensorFlow 2.21 then waits until that
    # thread wakes up, which it does more and more rarely, so an epoch of 47 s took 82 s.
    options.autotune.enabled = False
    return batches.prefetch(2).with_options(options)


def draw_order(count: int, size: int, seed: int) -> tf.data.Dataset:
    """Return the places 0 … `count` − 1 in batches, int64 [size], in another order in each epoch, from the seed.

    Memory use is bounded: for more than a million images, permutations are computed place by place.
    """
    if count <= MAX_BUFFERED_IMAGES:
        # fit(numpy, shuffle=True) repeats one permutation in every epoch once Keras is seeded; tf.data doesn't.
        return tf.data.Dataset.range(count).shuffle(count, seed=seed, reshuffle_each_iteration=True).batch(size)

    def permute(key: tf.Tensor) -> tf.data.Dataset:
        def compute_batch(start: tf.Tensor) -> tf.Tensor:
            ranks = tf.range(start, tf.minimum(start + size, count))
            last = tf.constant(count - 1, tf.int64)
            return tf.raw_ops.RandomIndexShuffle(index=ranks, seed=key, max_index=last, rounds=PERMUTATION_ROUNDS)

        return tf.data.Dataset.range(0, count, size).map(compute_batch)

    keys = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(3, drop_remainder=True)
    return keys.take(1).flat_map(permute)


def gather(split: Split, classes: int, order: tf.data.Dataset) -> tf.data.Dataset:
    """Return the (images, labels) at the places in each batch of `order`, read from the memory maps."""

    def read(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return normalise(split.pixels[places]), encode_one_hot(split.labels[places], classes)

    def read_batch(places: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, one_hot = tf.numpy_function(read, [places], (tf.float32, tf.float32), stateful=False)
        return tf.ensure_shape(images, [None, *split.pixels.shape[1:]]), tf.ensure_shape(one_hot, [None, classes])

    return order.map(read_batch)
