"""The layers of a model in params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import PositiveInt, model_validator

from pipeline.config.keras_objects import Activation, Initializer
from pipeline.config.section import Fraction, LeftOutIfUnset, Section


class Layer(Section):
    """What dense layers and convolutions have in common."""

    activation: Activation | None = None
    """The layer's activation; if it is not set, the model's activation."""
    kernel_initializer: Initializer | None = None
    """The layer's initializer; if it is not set, the model's initializer."""
    batch_normalization: bool = False
    """Normalise the layer's output over the batch, before the activation."""
    dropout: Fraction = 0.0
    """Share of the outputs that is dropped in training, after the activation."""


class Dense(Layer):
    """A fully connected layer."""

    units: PositiveInt
    """Number of outputs."""


class Convolution(Layer):
    """A convolution, with max-pooling after it if `pool_size` is above 1."""

    filters: PositiveInt
    """Number of output channels."""
    kernel_size: PositiveInt = 3
    """Height and width of the kernel, in pixels."""
    strides: PositiveInt = 1
    """Step from one position of the kernel to the next, in pixels."""
    padding: Literal["valid", "same"] = "valid"
    """`same` pads the edges, so that a stride of 1 keeps the image's size; `valid` adds no padding."""
    pool_size: PositiveInt = 1
    """Height and width of the max-pooling window after the convolution; 1 means no pooling."""
    whitening: Annotated[bool, LeftOutIfUnset] = False
    """Compute the filters from the training images, and don't train them: half of the outputs are the principal
    components of a patch, scaled to variance 1, and the other half are their negatives. Only for the first
    convolution."""

    @model_validator(mode="after")
    def _require_sense_of_whitening(self) -> Self:
        if self.whitening and self.filters % 2:
            raise ValueError(f"whitening makes filters in pairs: {self.filters} should be an even number")
        if self.whitening and self.kernel_initializer:
            raise ValueError("whitening computes the filters, so remove kernel_initializer")
        return self

    def compute_side(self, side: int) -> int:
        """Return the height of the layer's output for an input of this height, in pixels; it is the same for widths."""
        places = side - self.kernel_size + 1 if self.padding == "valid" else side
        return -(-places // self.strides) // self.pool_size
