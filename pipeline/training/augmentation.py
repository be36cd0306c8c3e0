"""Random changes of a whole batch of images in a few operations: moves, flips, colours and corruptions."""

import math

import tensorflow as tf

from pipeline.config.model import Augmentation, ModelConfig, PerceptronModel

GREY = (0.299, 0.587, 0.114)  # what red, green and blue add to brightness: ITU-R BT.601
SMALLEST_CONTRAST = 0.25  # between the greys that black and white become
STRONGEST_NOISE = 0.35  # standard deviation; white is 1


def find_reach(config: ModelConfig) -> Augmentation:
    """Return how far a model's training changes its images; the perceptron trains without augmentation."""
    return Augmentation() if isinstance(config, PerceptronModel) else config.augmentation


def augment(images: tf.Tensor, seed: tf.Tensor, reach: Augmentation) -> tf.Tensor:
    """Return the images [n, h, w, c], float32 in [0, 1], each changed differently at random within `reach`.

    `seed` is two integers. An option that is off draws no random numbers, and no option changes those of another.
    """
    if reach.translation or reach.rotation or reach.zoom or reach.horizontal_flip:
        images = move(images, seed, reach)
    return corrupt(change_colours(images, seed, reach), seed, reach)


def move(images: tf.Tensor, seed: tf.Tensor, reach: Augmentation) -> tf.Tensor:
    """Return each image [n, h, w, c] moved by its own random affine map, within `reach`.

    Pixels from outside the image are 0 or mirrored ones. Shifts are whole pixels, so that an image that is only
    shifted or mirrored keeps its values.
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
    row_x = (cosine, -sine, offset_x)
    if reach.horizontal_flip:
        # Mirror by the same map, at no cost; a separate operation would take as long as this whole function.
        side = 1 - 2 * tf.cast(tf.random.stateless_uniform([count], seed + 2) < 0.5, tf.float32)
        row_x = (side * cosine, -side * sine, cx + side * (offset_x - cx))
    zeros = tf.zeros_like(dx)
    transforms = tf.stack([*row_x, sine, cosine, offset_y, zeros, zeros], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT" if reach.reflect else "CONSTANT",
    )


def change_colours(images: tf.Tensor, seed: tf.Tensor, reach: Augmentation) -> tf.Tensor:
    """Return each image [n, h, w, c] with another brightness, contrast and saturation, in this order, within `reach`.

    Each is a factor, as in torchvision's ColorJitter: brightness multiplies all values, contrast their distance from
    the image's mean grey, saturation their distance from the pixel's grey. Values are clipped to [0, 1] after each.
    """

    def draw(share: float, offset: int) -> tf.Tensor:
        return tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seed + offset, 1 - share, 1 + share)

    def blend(images: tf.Tensor, other: tf.Tensor | float, factor: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(other + factor * (images - other), 0.0, 1.0)

    def grey(images: tf.Tensor) -> tf.Tensor:
        return images if images.shape[-1] == 1 else tf.tensordot(images, tf.constant(GREY), 1)[..., tf.newaxis]

    if reach.brightness:
        images = blend(images, 0.0, draw(reach.brightness, 3))
    if reach.contrast:
        images = blend(images, tf.reduce_mean(grey(images), (1, 2, 3), keepdims=True), draw(reach.contrast, 4))
    if reach.saturation and images.shape[-1] > 1:
        images = blend(images, grey(images), draw(reach.saturation, 5))
    return images


def corrupt(images: tf.Tensor, seed: tf.Tensor, reach: Augmentation) -> tf.Tensor:
    """Return images [n, h, w, c]; the shares in `reach` get other levels, noise, an inverted patch, or a blur.

    For each image and each of the four, chance decides whether it is applied, and how strongly. They prepare a network
    for worse images than the data set has: D. Hendrycks and T. Dietterich, Benchmarking neural network robustness to
    common corruptions and perturbations, ICLR 2019, show that accuracy falls on such images otherwise.
    """
    height, width = images.shape[1], images.shape[2]

    def draw(offset: int, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
        return tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seed + offset, low, high)

    def replace_some(share: float, changed: tf.Tensor, offset: int) -> tf.Tensor:
        return tf.where(draw(offset) < share, changed, images)

    def span(length: int, offset: int) -> tf.Tensor:
        """Return a mask, bool [n, 1, 1, length]: a random stretch along an axis, at most half as long as the axis."""
        half = draw(offset + 1, 0.05, 0.25) * length
        return tf.abs(tf.range(float(length)) - draw(offset) * length) < half

    if reach.levels:
        black, white = draw(10), draw(11)
        white = tf.where(tf.abs(white - black) < SMALLEST_CONTRAST, tf.math.floormod(black + 0.5, 1.0), white)
        images = replace_some(reach.levels, black + (white - black) * images, 12)
    if reach.noise:
        noise = tf.random.stateless_normal(tf.shape(images), seed + 13) * draw(14, 0.0, STRONGEST_NOISE)
        images = replace_some(reach.noise, tf.clip_by_value(images + noise, 0.0, 1.0), 15)
    if reach.inverted_patch:
        rows, columns = tf.transpose(span(height, 16), [0, 3, 1, 2]), tf.transpose(span(width, 18), [0, 1, 3, 2])
        images = replace_some(reach.inverted_patch, tf.where(rows & columns, 1 - images, images), 20)
    if reach.blur:
        mean = tf.nn.avg_pool2d(tf.nn.avg_pool2d(images, 3, 1, "SAME"), 3, 1, "SAME")
        images = replace_some(reach.blur, images + draw(21) * (mean - images), 22)
    return images
