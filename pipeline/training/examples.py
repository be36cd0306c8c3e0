"""What augmentation makes of a few training images, for people to look at."""

import numpy as np
import tensorflow as tf

from pipeline.config.model import Augmentation, ModelConfig
from pipeline.data.arrays import UInt8Array
from pipeline.data.pixels import SCALE, normalise
from pipeline.data.prepared import Split
from pipeline.training.augmentation import augment, find_reach

IMAGES, CHANGED = 4, 9


def draw_examples(split: Split, config: ModelConfig, seed: int) -> UInt8Array | None:
    """Return training images of several classes, each as it is and then changed, [images, 1 + CHANGED, h, w, c].

    None for a model that trains on the images as they are. The training itself draws other numbers.
    """
    reach = find_reach(config)
    if reach == Augmentation():
        return None
    pixels = split.pixels[np.unique(split.labels, return_index=True)[1][:IMAGES]]
    images = normalise(np.repeat(pixels, CHANGED, axis=0))
    changed = np.rint(augment(images, tf.constant([seed, 0], tf.int64), reach).numpy() / SCALE).clip(0, 255)
    rows = changed.astype(np.uint8).reshape(len(pixels), CHANGED, *pixels.shape[1:])
    return np.concatenate([pixels[:, np.newaxis], rows], axis=1)
