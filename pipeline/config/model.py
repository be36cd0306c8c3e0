"""The sections of params.yaml that define a model: its layers, its training, and Keras' objects by name."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from pipeline.config import keras_names
from pipeline.config.section import Fraction, Section, require_known


class KerasObject(BaseModel):
    """A Keras object: its name and its own arguments."""

    model_config = ConfigDict(frozen=True)
    name: str
    arguments: dict[str, Any] = {}


def _keras_object(table: Mapping[str, tuple[str, ...]], what: str) -> BeforeValidator:
    """Return a validator that reads `adam` or `{name: adam, beta_1: 0.8}`, in capitals or not, as Keras does."""
    spellings = {key.lower().replace("_", ""): key for key in table}

    def read(value: Any) -> KerasObject:
        if isinstance(value, KerasObject):
            return value
        if isinstance(value, str):
            value = {"name": value}
        given = value.get("name") if isinstance(value, dict) else None
        if not isinstance(given, str):
            raise ValueError(f"write a name or {{name: …, argument: value}}; names: {', '.join(table)}")
        arguments = {key: argument for key, argument in value.items() if key != "name"}
        name = spellings.get(given.lower().replace("_", ""), given)
        require_known(name, table, what)
        for key, argument in arguments.items():
            require_known(key, table[name], f"argument of {name}")
            if fault := keras_names.find_fault(key, argument):
                raise ValueError(f"{key} of {name} is {argument!r}; write {fault}")
        return KerasObject(name=name, arguments=arguments)

    return BeforeValidator(read)


Optimizer = Annotated[KerasObject, _keras_object(keras_names.OPTIMIZERS, "optimizer")]
Loss = Annotated[KerasObject, _keras_object(keras_names.LOSSES, "loss")]
Activation = Annotated[KerasObject, _keras_object(keras_names.ACTIVATIONS, "activation")]
Initializer = Annotated[KerasObject, _keras_object(keras_names.INITIALIZERS, "initializer")]


# For keys that came later: a receipt without them stays what it was, so a model made before is the same content.
LeftOutIfUnset = Field(exclude_if=lambda value: not value)


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


class Layer(Section):
    """What dense layers and convolutions have in common."""

    activation: Activation | None = None
    """The layer's activation; the model's, where a layer names none."""
    kernel_initializer: Initializer | None = None
    """The layer's initializer; the model's, where a layer names none."""
    batch_normalization: bool = False
    """Normalise the layer's output over the batch, before the activation."""
    dropout: Fraction = 0.0
    """Share of the outputs that are dropped in training, after the activation."""


class Dense(Layer):
    """A fully connected layer."""

    units: PositiveInt
    """Number of outputs."""


class Convolution(Layer):
    """A convolution, with max-pooling after it if `pool_size` is above 1."""

    filters: PositiveInt
    """Number of output channels."""
    kernel_size: PositiveInt = 3
    """Side of the kernel, in pixels."""
    strides: PositiveInt = 1
    """Pixels between two places of the kernel."""
    padding: Literal["valid", "same"] = "valid"
    """`same` keeps the image's size; `valid` doesn't go over the edge."""
    pool_size: PositiveInt = 1
    """Side of the max-pooling window after the convolution; 1 is no pooling."""

    def compute_side(self, side: int) -> int:
        """Return the height of what the layer makes of an image of this height, in pixels; likewise the width."""
        places = side - self.kernel_size + 1 if self.padding == "valid" else side
        return -(-places // self.strides) // self.pool_size


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
        """Whether the published weights are those of the last epoch: not an average, nor an earlier epoch's."""
        return self.early_stopping is None or not self.early_stopping.restore_best_weights

    def require_fitting(self, height: int, width: int) -> None:
        """Raise ValueError unless the network takes images of this size, in pixels: without convolutions, any."""


class PerceptronModel(Training):
    """One threshold unit per class, each against the rest, trained by Rosenblatt's rule."""

    family: Literal["perceptron"]
    """The model's family."""
    learning_rate: PositiveFloat
    """Step of Rosenblatt's rule."""


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

    @property
    def publishes_last_epoch(self) -> bool:
        return super().publishes_last_epoch and not self.optimizer.arguments.get("use_ema")

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

    def require_fitting(self, height: int, width: int) -> None:
        """Raise ValueError, which names the convolution, if one leaves nothing of images of this size, in pixels."""
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
