"""From a model's section in params.yaml to a Keras network, its optimizer and its loss."""

from types import ModuleType
from typing import Any

import keras
import psutil

from pipeline.cli import UserError
from pipeline.config.keras_objects import KerasObject
from pipeline.config.layers import Convolution, Dense
from pipeline.config.model import (
    CNNModel,
    CosineDecay,
    DenseModel,
    ExponentialDecay,
    ModelConfig,
    PerceptronModel,
)
from pipeline.data.arrays import UInt8Array
from pipeline.training import fused
from pipeline.training.perceptron import Perceptron, rosenblatt
from pipeline.training.whitening import compute_whitening

# Keras' default of .99 averages over hundreds of batches and lags behind in runs of a few epochs.
BATCH_NORMALIZATION_MOMENTUM = 0.9
# Batches between two returns to Python: 64 make an epoch of small batches four times as fast.
STEPS_PER_EXECUTION = 64
POOLING_LAYERS = {
    None: keras.layers.Flatten,
    "global_max": keras.layers.GlobalMaxPooling2D,
    "global_average": keras.layers.GlobalAveragePooling2D,
}
WHITENING = "whitening"  # the name of a first convolution that isn't trained
ImageShape = tuple[int, int, int]  # height, width, channels
CROSSENTROPY = "crossentropy"  # the metric's name
MAX_WEIGHTS = 500_000_000  # of 4 bytes: an ONNX file holds 2 GB
# Memory that tf2onnx needs to convert a network, measured with 7.5 and 30 million weights: 45 to 57 times their size.
EXPORT_BYTES_PER_WEIGHT = 230
SMALLEST_PROBABILITY = 1e-7  # as evaluate clips probabilities


def build_compiled(config: ModelConfig, image_shape: ImageShape, classes: int, steps_per_epoch: int) -> keras.Model:
    """Return a compiled network to train, with loss, optimizer and schedule: one member, if the model has several.

    Raise UserError for a value that Keras refuses.
    """
    network = build_member(config, image_shape, classes, fused.BatchNormalization)
    if isinstance(config, PerceptronModel):
        network, optimizer, loss = Perceptron(network, config), None, rosenblatt
    else:
        optimizers = fused if config.optimizer.name == fused.Adam.__name__ else keras.optimizers
        optimizer, loss = _make(optimizers, config.optimizer), _make(keras.losses, config.loss)
        if config.schedule:
            optimizer.learning_rate = _make_schedule(
                config.schedule, config.epochs, float(optimizer.learning_rate), steps_per_epoch
            )
    crossentropy = keras.metrics.MeanMetricWrapper(
        compute_crossentropy, CROSSENTROPY, from_logits=isinstance(config, PerceptronModel)
    )
    network.compile(optimizer, loss, metrics=["accuracy", crossentropy], steps_per_execution=STEPS_PER_EXECUTION)
    return network


def require_exportable(name: str, config: ModelConfig, image_shape: ImageShape, classes: int) -> None:
    """Raise UserError if the network would have more weights than this machine can export; allocate none of them."""
    with keras.StatelessScope(initialize_variables=False):
        weights = build_network(config, image_shape, classes).count_params()
    memory, needed = psutil.virtual_memory().total, weights * EXPORT_BYTES_PER_WEIGHT
    if weights > MAX_WEIGHTS or needed > memory:
        height, width, channels = image_shape
        raise UserError(
            f"{name} would have {weights:,} weights, for images of {height}×{width}×{channels} and {classes} classes. "
            f"An ONNX file holds at most {MAX_WEIGHTS:,}; to write this one takes about "
            f"{needed / 1e9:.0f} GB of memory, and this machine has {memory / 1e9:.0f}: "
            f"give models.{name} pooling, strides or fewer units, or the data set a smaller height and width"
        )


def build_network(config: ModelConfig, image_shape: ImageShape, classes: int) -> keras.Model:
    """Return the network of the section, with all its members: float32 [n, *image_shape] in [0, 1] to [n, classes].

    The outputs are probabilities; those of the perceptron are the net inputs of its units.
    """
    if config.members == 1:
        return build_member(config, image_shape, classes)
    images = keras.Input(image_shape, name="images")
    members = [build_member(config, image_shape, classes) for _ in range(config.members)]
    return keras.Model(images, keras.layers.Average()([member(images) for member in members]))


def join_members(config: ModelConfig, members: list[keras.Model]) -> keras.Model:
    """Return the network of the section with the weights of its trained members."""
    if len(members) == 1:
        return members[0]
    network = build_network(config, members[0].input_shape[1:], members[0].output_shape[-1])
    for own, trained in zip(list_members(network), members, strict=True):
        own.set_weights(trained.get_weights())
    return network


def list_members(network: keras.Model) -> list[keras.Model]:
    """Return the members of a network, or the network itself as the only one."""
    return [layer for layer in network.layers if isinstance(layer, keras.Model)] or [network]


def build_member(
    config: ModelConfig,
    image_shape: ImageShape,
    classes: int,
    batch_normalization: type[keras.layers.Layer] = keras.layers.BatchNormalization,
) -> keras.Model:
    """Return one member of `build_network`, with the same inputs and outputs as the whole network."""
    images = keras.Input(image_shape, name="images")
    if isinstance(config, PerceptronModel):
        units = keras.layers.Dense(classes, kernel_initializer="zeros", name="threshold_units")
        return keras.Model(images, units(keras.layers.Flatten()(images)))
    x = images
    for convolution in config.convolutions if isinstance(config, CNNModel) else ():
        x = _make_convolution(convolution, config)(x)
        if convolution.pool_size > 1:
            # Pool before the activation: the result is the same if that is monotonic (ReLU), and less is computed.
            x = keras.layers.MaxPooling2D(convolution.pool_size)(x)
        x = _finish_layer(x, convolution, config, batch_normalization)
    pooling = config.pooling if isinstance(config, CNNModel) else None
    x = POOLING_LAYERS[pooling]()(x)
    for layer in config.dense:
        initializer = _make(keras.initializers, layer.kernel_initializer or config.kernel_initializer)
        x = keras.layers.Dense(layer.units, use_bias=not layer.batch_normalization, kernel_initializer=initializer)(x)
        x = _finish_layer(x, layer, config, batch_normalization)
    output = keras.layers.Dense(
        classes, activation="softmax", kernel_initializer=_make(keras.initializers, config.kernel_initializer)
    )
    return keras.Model(images, output(x))


def whiten(network: keras.Model, pixels: UInt8Array) -> None:
    """Compute the filters of a network's whitening convolution, if it has one, from training images as stored."""
    layer = next((layer for layer in network.layers if layer.name == WHITENING), None)
    if layer:
        layer.set_weights(compute_whitening(pixels, layer.kernel_size[0], layer.filters))


def compute_crossentropy(labels: keras.KerasTensor, answers: keras.KerasTensor, from_logits: bool) -> keras.KerasTensor:
    """Return the cross-entropy in nats, [n], of one-hot labels and answers, both [n, classes], as evaluate computes it.

    Unlike the loss of a model, it has no smoothing, no weights and always this form, so that models can be compared.
    """
    probabilities = keras.ops.softmax(answers) if from_logits else answers
    true = keras.ops.sum(labels * probabilities, axis=-1)
    return -keras.ops.log(keras.ops.clip(true, SMALLEST_PROBABILITY, 1.0))


def _make_convolution(layer: Convolution, config: DenseModel) -> keras.layers.Layer:
    fixed = {"name": WHITENING, "trainable": False} if layer.whitening else {}
    return keras.layers.Conv2D(
        layer.filters,
        layer.kernel_size,
        strides=layer.strides,
        padding=layer.padding,
        use_bias=not layer.batch_normalization or layer.whitening,  # otherwise normalisation cancels a bias
        kernel_initializer=_make(keras.initializers, layer.kernel_initializer or config.kernel_initializer),
        **fixed,
    )


def _finish_layer(
    x: keras.KerasTensor,
    layer: Dense | Convolution,
    config: DenseModel,
    batch_normalization: type[keras.layers.Layer],
) -> keras.KerasTensor:
    """Return `x` after batch normalisation, activation and dropout, as the layer says."""
    if layer.batch_normalization:
        x = batch_normalization(momentum=BATCH_NORMALIZATION_MOMENTUM)(x)
    activation = layer.activation or config.activation
    if activation.arguments:
        try:
            x = getattr(keras.activations, activation.name)(x, **activation.arguments)
        except (TypeError, ValueError) as error:
            raise keras_error(activation, error) from None
    else:
        x = keras.layers.Activation(activation.name)(x)
    return keras.layers.Dropout(layer.dropout)(x) if layer.dropout else x


def _make_schedule(
    schedule: CosineDecay | ExponentialDecay, epochs: int, peak: float, steps_per_epoch: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    if isinstance(schedule, CosineDecay):
        steps = steps_per_epoch * epochs
        warmup = round(schedule.warmup * steps)
        start = {"warmup_target": peak, "warmup_steps": warmup} if warmup else {}
        return keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else peak, max(1, steps - warmup), alpha=schedule.alpha, **start
        )
    return keras.optimizers.schedules.ExponentialDecay(peak, steps_per_epoch, schedule.decay_rate, staircase=True)


def _make(module: ModuleType, named: KerasObject) -> Any:
    """Return a new object of the class with this name in Keras' `module`; capitals and underscores don't matter."""
    classes = {key.lower(): value for key, value in vars(module).items() if isinstance(value, type)}
    try:
        return classes[named.name.lower().replace("_", "")](**named.arguments)
    except (TypeError, ValueError) as error:
        raise keras_error(named, error) from None


def keras_error(named: KerasObject, error: Exception) -> UserError:
    """Return the error for a value that has the right type, but that Keras refuses."""
    return UserError(f"params.yaml: Keras refuses {named.name} with {named.arguments}: {error}")
