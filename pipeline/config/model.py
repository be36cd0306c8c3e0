"""The sections of params.yaml that define a model: its layers and its training."""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from pipeline.config.keras_objects import Activation, Initializer, KerasObject, Loss, Optimizer
from pipeline.config.layers import Convolution, Dense
from pipeline.config.section import Fraction, LeftOutIfUnset, Section


class CosineDecay(Section):
    """Decay from the optimizer's learning rate along half a cosine to `alpha` times it, after a linear warm-up."""

    name: Literal["cosine_decay"]
    warmup: Fraction = 0.0
    """Share of all steps in which the learning rate rises from 0."""
    alpha: Fraction = 0.0
    """The last learning rate, as a share of the first."""


class ExponentialDecay(Section):
    """Multiply the optimizer's learning rate by `decay_rate` after each epoch."""

    name: Literal["exponential_decay"]
    decay_rate: Annotated[float, Field(gt=0, le=1)]
    """Factor per epoch."""


Schedule = Annotated[CosineDecay | ExponentialDecay, Field(discriminator="name")]


class Augmentation(Section):
    """How far each training image is changed at random, differently in each epoch."""

    translation: NonNegativeInt = 0
    """Largest shift along each axis, in pixels: what is elsewhere called padding by so many and cropping at random."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Largest angle to either side, in degrees."""
    zoom: Fraction = 0.0
    """Largest zoom in or out, as a share of the size."""
    reflect: Annotated[bool, LeftOutIfUnset] = False
    """Fill what comes in from outside with the image's mirror image, as suits photographs; otherwise it is black."""
    horizontal_flip: Annotated[bool, LeftOutIfUnset] = False
    """Mirror half of the images left to right."""
    brightness: Annotated[Fraction, LeftOutIfUnset] = 0.0
    """Largest change of an image's brightness, as a share of it."""
    contrast: Annotated[Fraction, LeftOutIfUnset] = 0.0
    """Largest change of an image's contrast, as a share of it."""
    saturation: Annotated[Fraction, LeftOutIfUnset] = 0.0
    """Largest change of an image's saturation, as a share of it; grey images have none."""
    levels: Annotated[Fraction, LeftOutIfUnset] = 0.0
    """Share of the images whose black and white become two other greys, also the other way round."""
    noise: Annotated[Fraction, LeftOutIfUnset] = 0.0
    """Share of the images that get Gaussian noise, of a standard deviation of up to 0.35 of white."""
    inverted_patch: Annotated[Fraction, LeftOutIfUnset] = 0.0
    """Share of the images of which a rectangle at a random place, a half of each side at most, is inverted."""
    blur: Annotated[Fraction, LeftOutIfUnset] = 0.0
    """Share of the images that are blurred, by a mean of up to 5×5 pixels."""


class TestTimeAugmentation(Section):
    """Views of an image whose answers the published model averages, inside the exported file."""

    horizontal_flip: Annotated[bool, LeftOutIfUnset] = False
    """Also answer the image mirrored left to right: costs twice the time."""
    translation: Annotated[NonNegativeInt, LeftOutIfUnset] = 0
    """Also answer the image moved by so many pixels left, right, up and down: costs five times the time."""


class EarlyStopping(Section):
    """End a training when the cross-entropy on the validation images (`val_loss`) no longer falls."""

    patience: PositiveInt
    """Epochs without a lower val_loss after which training ends."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """A smaller fall than this doesn't count."""
    restore_best_weights: bool = False
    """Publish the weights of the epoch with the lowest val_loss; otherwise those of the last epoch."""


class Training(Section):
    """What the training of every model needs."""

    batch_size: PositiveInt
    """Images per training step."""
    epochs: PositiveInt
    """Passes over the training images."""
    early_stopping: Annotated[EarlyStopping | None, LeftOutIfUnset] = None
    """When to end before `epochs`; null never does."""

    @property
    def publishes_last_epoch(self) -> bool:
        """Whether the published model is the last epoch's network, not an average or an earlier epoch's network."""
        return self.early_stopping is None or not self.early_stopping.restore_best_weights

    def require_fitting(self, image_shape: tuple[int, int, int]) -> None:
        """Raise ValueError unless the network takes images of this shape (height, width, channels)."""


class PerceptronModel(Training):
    """One threshold unit per class, each against the rest, trained by Rosenblatt's rule."""

    family: Literal["perceptron"]
    """The model's family."""
    learning_rate: PositiveFloat
    """Step of Rosenblatt's rule."""

    @property
    def members(self) -> int:
        """Return 1: a perceptron is a single network."""
        return 1


class DenseModel(Training):
    """Fully connected layers and a softmax over the classes."""

    family: Literal["dense"]
    """The model's family."""
    dense: Annotated[tuple[Dense, ...], Field(strict=False)] = ()
    """The hidden layers; the output layer, a softmax over the classes, is added to them."""
    activation: Activation = KerasObject(name="relu")
    """Activation of the layers that name none."""
    kernel_initializer: Initializer = KerasObject(name="glorot_uniform")
    """Initializer of the layers that name none, and of the output layer."""
    optimizer: Optimizer
    """A Keras optimizer."""
    schedule: Schedule | None = None
    """How the learning rate changes; null keeps it."""
    loss: Loss = KerasObject(name="categorical_crossentropy")
    """A Keras loss over one-hot labels."""
    augmentation: Augmentation = Augmentation()
    """Random changes of the training images."""
    test_time_augmentation: Annotated[TestTimeAugmentation | None, LeftOutIfUnset] = None
    """Views of an image over which answers are averaged; null answers the image alone."""
    members: Annotated[PositiveInt, LeftOutIfUnset] = 1
    """Networks that are trained one after the other, each for `epochs` from a seed of its own, and answer together, by
    the mean of their probabilities: costs the time of so many."""

    def require_fitting(self, image_shape: tuple[int, int, int]) -> None:
        """Raise ValueError if a test-time view would be shifted so far that it shows nothing of the image."""
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
    """What the dense layers get of each channel of the last convolution: its maximum, its mean, or, if null, all."""

    @model_validator(mode="after")
    def _require_whitening_of_images(self) -> Self:
        for index, layer in enumerate(self.convolutions[1:], 1):
            if layer.whitening:
                raise ValueError(f"convolutions.{index}: whitening is for the first convolution, which sees images")
        return self

    def require_fitting(self, image_shape: tuple[int, int, int]) -> None:
        """Raise ValueError, with the convolution's place, if one can't take images of this shape.

        Either it leaves nothing of them, or it should whiten with more than two filters per component of a patch.
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
