"""The published form of a trained network: raw pixels in, probabilities out."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.config.model import ModelConfig, PerceptronModel, TestTimeAugmentation
from pipeline.data.arrays import FloatArray
from pipeline.data.pixels import SCALE, raw_shape
from pipeline.inference import split_in_batches
from pipeline.training.networks import build_network, list_members


def take_pixels(trained: keras.Model, config: ModelConfig, temperature: float = 1.0) -> keras.Model:
    """Return the model that is published: raw pixels in 0…255 to probabilities [n, classes].

    It takes float32 [n, height, width], or [n, height, width, 3] for colour images. It holds a copy of the trained
    network, without the optimizer's state. Dividing the output layer's weights by `temperature` divides the logits: no
    operation is added, and 8-bit files lose no more accuracy than without it.
    """
    views = answer_views(trained, config, temperature)
    answers = keras.layers.Average()(views.outputs) if len(views.outputs) > 1 else views.outputs[0]
    return keras.Model(views.input, answers)


def answer_views(trained: keras.Model, config: ModelConfig, temperature: float = 1.0) -> keras.Model:
    """Return the model from raw pixels to a list of probabilities [n, classes], one per view and member."""
    image_shape = trained.input_shape[1:]
    network = build_network(config, image_shape, trained.output_shape[-1])
    network.set_weights(trained.get_weights())
    members = list_members(network)
    for member in members:
        output = member.layers[-1]
        output.set_weights([weights / np.float32(temperature) for weights in output.get_weights()])
    pixels = keras.Input(raw_shape(image_shape), name="pixels")
    images = keras.layers.Rescaling(float(SCALE))(pixels)
    if pixels.shape[1:] != image_shape:
        images = keras.layers.Reshape(image_shape)(images)
    if isinstance(config, PerceptronModel):
        # Several units may fire, or none; the strongest net input decides. Softmax turns them into a distribution.
        return keras.Model(pixels, [keras.layers.Softmax()(network(images))])
    wanted = config.test_time_augmentation or TestTimeAugmentation()
    views = (images, *make_views(images, wanted))
    return keras.Model(pixels, [member(view) for view in views for member in members])


def make_views(images: keras.KerasTensor, wanted: TestTimeAugmentation) -> list[keras.KerasTensor]:
    """Return the changed views of images [n, height, width, channels] whose answers are averaged with the image's own.

    Pixels from outside the image are 0.
    """
    views = []
    if distance := wanted.translation:
        for sides in ((0, 0, 0, 1), (0, 0, 1, 0), (0, 1, 0, 0), (1, 0, 0, 0)):
            top, bottom, left, right = (side * distance for side in sides)
            padded = keras.layers.ZeroPadding2D(((top, bottom), (left, right)))(images)
            views.append(keras.layers.Cropping2D(((bottom, top), (right, left)))(padded))
    if wanted.horizontal_flip:
        views += [view[:, :, ::-1] for view in (images, *views)]
    return views


def predict(model: keras.Model, pixels: NDArray[Any]) -> FloatArray:
    """Return a model's outputs, [outputs, n, classes], for raw pixels shaped as the model takes them."""
    batches = (batch.astype(np.float32) for batch in split_in_batches(pixels))
    outputs = [np.stack(keras.tree.flatten(model.predict_on_batch(batch))) for batch in batches]
    return np.concatenate(outputs, axis=1)
