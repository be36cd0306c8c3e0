"""The layers of a model in params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import PositiveInt, model_validator

from pipeline.config.keras_objects import Activation, Initializer
from pipeline.config.section import Fraction, LeftOutIfUnset, Section


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
    whitening: Annotated[bool, LeftOutIfUnset] = False
    """Compute the filters from the training images, and don't train them: half of them make the principal components of
    a patch, of variance 1, and half the negatives of these. For the first convolution alone."""

    @model_validator(mode="after")
    def _require_sense_of_whitening(self) -> Self:
        if self.whitening and self.filters % 2:
            raise ValueError(f"whitening makes filters in pairs: {self.filters} should be an even number")
        if self.whitening and self.kernel_initializer:
            raise ValueError("whitening computes the filters, so remove kernel_initializer")
        return self

    def compute_side(self, side: int) -> int:
        """Return the height of the layer's output for an image of this height, in pixels; the same holds for widths."""
        places = side - self.kernel_size + 1 if self.padding == "valid" else side
        return -(-places // self.strides) // self.pool_size
