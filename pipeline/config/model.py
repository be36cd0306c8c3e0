"""The sections of params.yaml that define a model: its layers and its training."""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from pipeline.config.keras_objects import Activation, Initializer, KerasObject, Loss, Optimizer
from pipeline.config.layers import Convolution, Dense
from pipeline.config.section import Fraction, LeftOutIfUnset, Section


class CosineDecay(Section):
    """After a linear warm-up, lower the learning rate along half a cosine, from the optimizer's value to `alpha` times
    that value.
    """

    name: Literal["cosine_decay"]
    warmup: Fraction = 0.0
    """Share of all training steps in which the learning rate rises from 0 to the optimizer's value."""
    alpha: Fraction = 0.0
    """The final learning rate, as a share of the optimizer's value."""


class ExponentialDecay(Section):
    """Multiply the optimizer's learning rate by `decay_rate` after each epoch."""

    name: Literal["exponential_decay"]
    decay_rate: Annotated[float, Field(gt=0, le=1)]
    """Factor for the learning rate after each epoch."""


Schedule = Annotated[CosineDecay | ExponentialDecay, Field(discriminator="name")]


class Augmentation(Section):
    """How much each training image is changed at random, differently in each epoch."""

    translation: NonNegativeInt = 0
    """Largest shift along each axis, in pixels; elsewhere this is called padding by that many pixels and random
    cropping."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Largest rotation in either direction, in degrees."""
    zoom: Fraction = 0.0
    """Largest zoom in or out, as a share of the size."""
    reflect: Annotated[bool, LeftOutIfUnset] = False
    """Fill the area that enters from outside with a reflection of the image, which suits photographs; otherwise the
    area is black."""
    horizontal_flip: Annotated[bool, LeftOutIfUnset] = False
    """Mirror each image left to right with probability 0.5."""
    brightness: Annotated[Fraction, LeftOutIfUnset] = 0.0
    """Largest change of an image's brightness, as a share of its brightness."""
    contrast: Annotated[Fraction, LeftOutIfUnset] = 0.0
    """Largest change of an image's contrast, as a share of its contrast."""
    saturation: Annotated[Fraction, LeftOutIfUnset] = 0.0
    """Largest change of an image's saturation, as a share of its saturation; it does nothing to grey images."""
    levels: Annotated[Fraction, LeftOutIfUnset] = 0.0
    """Share of the images in which black and white become two other greys; the new white may be darker than the new
    black."""
    noise: Annotated[Fraction, LeftOutIfUnset] = 0.0
    """Share of the images that get Gaussian noise, with a standard deviation of up to 0.35 if white is 1."""
    inverted_patch: Annotated[Fraction, LeftOutIfUnset] = 0.0
    """Share of the images in which a rectangle at a random place is inverted; it is at most half as high and half as
    wide as the image."""
    blur: Annotated[Fraction, LeftOutIfUnset] = 0.0
    """Share of the images that are blurred with a mean over up to 5×5 pixels."""


class TestTimeAugmentation(Section):
    """Changed copies (views) of an image; the published model averages its answers over them, in the exported file."""

    horizontal_flip: Annotated[bool, LeftOutIfUnset] = False
    """Add the image mirrored left to right as a view; an answer takes twice the time."""
    translation: Annotated[NonNegativeInt, LeftOutIfUnset] = 0
    """Add four views: the image moved by that many pixels left, right, up and down; an answer takes five times the
    time."""


class EarlyStopping(Section):
    """End training when the cross-entropy on the validation images (`val_loss`) stops falling."""

    patience: PositiveInt
    """Training ends after this many epochs without a lower val_loss."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """If val_loss falls by less than this, it doesn't count as lower."""
    restore_best_weights: bool = False
    """Publish the weights of the epoch with the lowest val_loss; if false, the weights of the last epoch."""


class Training(Section):
    """What the training of every model needs."""

    batch_size: PositiveInt
    """Images per training step."""
    epochs: PositiveInt
    """Passes over the training images."""
    early_stopping: Annotated[EarlyStopping | None, LeftOutIfUnset] = None
    """When to end training before `epochs` are over; null means never."""

    @property
    def publishes_last_epoch(self) -> bool:
        """Whether the published model is the network of the last epoch, not an average or that of an earlier epoch."""
        return self.early_stopping is None or not self.early_stopping.restore_best_weights

    def require_fitting(self, image_shape: tuple[int, int, int]) -> None:
        """Raise ValueError unless the network takes images of this shape (height, width, channels)."""


class PerceptronModel(Training):
    """One threshold unit per class, which tells it from all other classes, trained with Rosenblatt's rule."""

    family: Literal["perceptron"]
    """The model's family."""
    learning_rate: PositiveFloat
    """Step size of Rosenblatt's rule."""

    @property
    def members(self) -> int:
        """Return 1: a perceptron is a single network."""
        return 1


class DenseModel(Training):
    """Fully connected layers and a softmax over the classes."""

    family: Literal["dense"]
    """The model's family."""
    dense: Annotated[tuple[Dense, ...], Field(strict=False)] = ()
    """The hidden layers; the output layer, a softmax over the classes, is added after them."""
    activation: Activation = KerasObject(name="relu")
    """Activation of the layers that don't set their own."""
    kernel_initializer: Initializer = KerasObject(name="glorot_uniform")
    """Initializer of the layers that don't set their own, and of the output layer."""
    optimizer: Optimizer
    """A Keras optimizer."""
    schedule: Schedule | None = None
    """How the learning rate changes during training; null keeps it constant."""
    loss: Loss = KerasObject(name="categorical_crossentropy")
    """A Keras loss over one-hot labels."""
    augmentation: Augmentation = Augmentation()
    """Random changes of the training images."""
    test_time_augmentation: Annotated[TestTimeAugmentation | None, LeftOutIfUnset] = None
    """Views of an image over which answers are averaged; null means only the image itself."""
    members: Annotated[PositiveInt, LeftOutIfUnset] = 1
    """Number of networks in an ensemble. They are trained one after the other, each for `epochs` and with its own seed,
    and their probabilities are averaged; training and answering take that many times as long."""

    def require_fitting(self, image_shape: tuple[int, int, int]) -> None:
        """Raise ValueError if a test-time view would be shifted so far that nothing of the image is left in it."""
        views, side = self.test_time_augmentation, min(image_shape[:2])
        if views and views.translation >= side:
            raise ValueError(
                f"test_time_augmentation.translation is {views.translation}; of images of {side} pixels it leaves "
                f"nothing: use at most {side - 1}"
            )

    @property
    def publishes_last_epoch(self) -> bool:
        averages = self.optimizer.arguments.get("use_ema") or self.test_time_augmentation or self.members > 1
        return super().publishes_last_epoch and not averages

    @model_validator(mode="after")
    def _require_one_kind_of_final_weights(self) -> Self:
        if self.optimizer.arguments.get("use_ema") and not super().publishes_last_epoch:
            raise ValueError(
                "early_stopping.restore_best_weights publishes the weights of one epoch, and use_ema of the optimizer "
                "an average over many: set one of the two to false"
            )
        return self


class CNNModel(DenseModel):
    """Convolutions, then fully connected layers and a softmax over the classes."""

    family: Literal["cnn"]  # type: ignore[assignment]  # pydantic tells the families apart by this key
    """The model's family."""
    convolutions: Annotated[tuple[Convolution, ...], Field(strict=False, min_length=1)]
    """The convolutions, before the dense layers."""
    pooling: Annotated[Literal["global_max", "global_average"] | None, LeftOutIfUnset] = None
    """What the dense layers get from each channel of the last convolution: its maximum, its mean or, if null, all its
    values."""

    @model_validator(mode="after")
    def _require_whitening_of_images(self) -> Self:
        for index, layer in enumerate(self.convolutions[1:], 1):
            if layer.whitening:
                raise ValueError(f"convolutions.{index}: whitening is for the first convolution, which sees images")
        return self

    def require_fitting(self, image_shape: tuple[int, int, int]) -> None:
        """Raise ValueError, with its place, for a convolution that can't take images of this shape.

        Either its output would be empty, or it whitens and has more than two filters per component of a patch.
        """
        super().require_fitting(image_shape)
        height, width, channels = image_shape
        first = self.convolutions[0]
        if first.whitening and first.filters > (most := 2 * first.kernel_size**2 * channels):
            raise ValueError(
                f"convolutions.0 has {first.filters} filters; whitening makes at most {most} of patches of "
                f"{first.kernel_size}×{first.kernel_size}×{channels}: use fewer, or a larger kernel_size"
            )
        for index, layer in enumerate(self.convolutions):
            before = f"{height}×{width}"
            height, width = layer.compute_side(height), layer.compute_side(width)
            if min(height, width) < 1:
                raise ValueError(
                    f"convolutions.{index} leaves nothing of its {before} input: use a smaller "
                    "kernel_size, strides or pool_size, padding: same, or fewer convolutions"
                )


ModelConfig = PerceptronModel | DenseModel | CNNModel
Model = Annotated[ModelConfig, Field(discriminator="family")]
