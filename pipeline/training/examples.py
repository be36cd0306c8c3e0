"""A few training images after augmentation, for people to look at."""

import numpy as np
import tensorflow as tf

from pipeline.config.model import Augmentation, ModelConfig
from pipeline.data.arrays import UInt8Array
from pipeline.data.pixels import SCALE, normalise
from pipeline.data.prepared import Split
from pipeline.training.augmentation import augment, find_reach

IMAGES, CHANGED = 4, 9


def draw_examples(split: Split, config: ModelConfig, seed: int) -> UInt8Array | None:
    """Return training images, each unchanged and then CHANGED times augmented, [images, 1 + CHANGED, h, w, c].

    The images are of several classes. Return None for a model without augmentation. Training itself draws other
    random numbers.
    """
    reach = find_reach(config)
    if reach == Augmentation():
        return None
    pixels = split.pixels[np.unique(split.labels, return_index=True)[1][:IMAGES]]
    images = normalise(np.repeat(pixels, CHANGED, axis=0))
    changed = np.rint(augment(images, tf.constant([seed, 0], tf.int64), reach).numpy() / SCALE).clip(0, 255)
    rows = changed.astype(np.uint8).reshape(len(pixels), CHANGED, *pixels.shape[1:])
    return np.concatenate([pixels[:, np.newaxis], rows], axis=1)
