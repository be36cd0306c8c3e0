"""Random shifts, rotations and zooms of a whole batch of images in one operation."""

import math

import tensorflow as tf

from pipeline.config.model import Augmentation


def augment(images: tf.Tensor, seed: tf.Tensor, reach: Augmentation) -> tf.Tensor:
    """Return each image [n, h, w, 1] moved by its own random affine map, within `reach`; outside is 0.

    `seed` is two integers. Shifts are whole pixels, so that an image that is only shifted keeps its values.
    """
    count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    shifts = tf.random.stateless_uniform([2, count], seed, -reach.translation, reach.translation + 1, dtype=tf.int32)
    dx, dy = tf.unstack(tf.cast(shifts, tf.float32))
    turn, stretch = tf.unstack(tf.random.stateless_uniform([2, count], seed + 1, -1.0, 1.0))
    angle = turn * reach.rotation * math.pi / 180
    scale = 1 + stretch * reach.zoom
    # The map from output to input coordinates, about the image's centre, as ImageProjectiveTransform wants it.
    cosine, sine = tf.cos(angle) / scale, tf.sin(angle) / scale
    cx, cy = (width - 1) / 2, (height - 1) / 2
    offset_x = cx - cosine * (cx + dx) + sine * (cy + dy)
    offset_y = cy - sine * (cx + dx) - cosine * (cy + dy)
    zeros = tf.zeros_like(dx)
    transforms = tf.stack([cosine, -sine, offset_x, sine, cosine, offset_y, zeros, zeros], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
