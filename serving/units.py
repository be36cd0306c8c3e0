"""The units of a network's layers: what each sees of the image, and how its output is computed, with all numbers."""

from collections.abc import Iterable, Iterator
from typing import Any, TypedDict

import numpy as np

from serving.layers import NetworkLayers, Step

KERNEL_LAST = (0, 2, 3, 1)  # from [filters, channels, height, width]
# Operators that move values without changing them. A transposition moves the channels to the last axis, or back.
TRANSPOSE, MOVING = "Transpose", ("Transpose", "Reshape", "Flatten", "Identity")


class Field(TypedDict):
    """The part of the image that a layer's units see, in pixels [down, right].

    The unit in row and column 0 sees `size` pixels from `start` on, which is negative where zeros are padded. Each next
    unit sees as many pixels, `step` further.
    """

    size: list[int]
    step: list[int]
    start: list[int]


class Units:
    """The units of a network for images of `shape`, [height, width] or [height, width, 3]."""

    def __init__(self, network: NetworkLayers, shape: tuple[int, ...]):
        self.network, self.shape = network, shape
        self.kernels = [kernel.shape for kernel, _ in network.weights]
        self.pools = self._find_pools()
        self.fields = list(self._find_fields())

    def describe(self) -> list[dict[str, Any]]:
        """Return for each layer what a page needs to draw it; its size doesn't depend on the number of weights."""
        return [
            {
                **{key: layer[key] for key in ("kind", "shape", "strides", "pads")},
                "kernel": [*kernel[2:], kernel[1]] if len(kernel) == 4 else [kernel[0]],
                "bias": layer["bias"] is not None,
                "pool": pool,
                "steps": [step["operator"] for step in layer["steps"] if step["operator"] not in MOVING],
                "field": field,
            }
            for layer, kernel, pool, field in zip(
                self.network.layers, self.kernels, self.pools, self.fields, strict=True
            )
        ]

    def weights(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a layer's weights, [filters, height, width, channels] or [units, inputs], and biases (0 if none)."""
        kernel, bias = self.network.weights[place]
        kernel = kernel.transpose(KERNEL_LAST) if kernel.ndim == 4 else kernel.T
        return kernel, np.zeros(len(kernel), np.float32) if bias is None else bias

    def work_out(self, place: int, pixels: np.ndarray, unit: int, row: int = 0, column: int = 0) -> dict[str, Any]:
        """Return the numbers from which one unit's output for one image is computed.

        `inputs` and `weights` are [height, width, channels] or [inputs]; `sum` is their dot product plus `bias`. For a
        convolution `at` is the position before pooling: of the pooled positions, the one with the largest value.
        `sums` are the sums of all units there, and `steps` the unit's value after each operator up to the output.
        """
        layer = self.network.layers[place]
        names = [layer["input"], layer["sum"], *(step["tensor"] for step in layer["steps"])]
        inputs, *values = (tensor[0] for tensor in self.network.compute(pixels[np.newaxis], names))
        kernel, bias = self.weights(place)
        at: list[tuple[int, ...]] = [()] * len(values)
        if layer["kind"] == "convolution":
            at = self._find_source(place, values, unit, (row, column))
            inputs = self._cut_patch(place, inputs, at[0])
        sums = _pick(values[0], at[0])
        steps = [
            {"operator": step["operator"], "value": float(found[unit])}
            for step, tensor, where, is_last in zip(
                layer["steps"], values[1:], at[1:], _follow_channels(layer["steps"]), strict=True
            )
            if step["operator"] not in MOVING and (found := _pick(tensor, where, is_last)).shape == bias.shape
        ]
        return {
            "inputs": inputs.tolist(),
            "weights": kernel[unit].tolist(),
            "bias": float(bias[unit]),
            "at": list(at[0]),
            "sum": float(sums[unit]),
            "sums": sums.tolist(),
            "steps": steps,
        }

    def _find_source(
        self, place: int, values: list[np.ndarray], unit: int, at: tuple[int, int]
    ) -> list[tuple[int, ...]]:
        """Return the position in each of a convolution's `values` (sum, then steps) that becomes the output at `at`."""
        pooling = _find_pooling(self.network.layers[place]["steps"])
        if pooling is None:
            return [at] * len(values)
        row, column = (self.pools[place] * index for index in at)
        block = values[pooling][unit, row : row + self.pools[place], column : column + self.pools[place]]
        down, right = divmod(int(block.argmax()), block.shape[1])
        before = (row + down, column + right)
        return [before if place <= pooling else at for place in range(len(values))]

    def _cut_patch(self, place: int, inputs: np.ndarray, at: tuple[int, ...]) -> np.ndarray:
        """Return the part of `inputs`, [channels, height, width], that the sum `at` uses: [height, width, channels]."""
        layer = self.network.layers[place]
        above, left, below, right = layer["pads"]
        padded = np.pad(inputs, ((0, 0), (above, below), (left, right)))
        y, x = (index * stride for index, stride in zip(at, layer["strides"], strict=True))
        height, width = self.kernels[place][2:]
        return padded[:, y : y + height, x : x + width].transpose(1, 2, 0)

    def _find_pools(self) -> list[int]:
        """Return the side of each layer's max-pooling, measured on random pixels; 1 if it has none."""
        noise = np.random.default_rng(0).uniform(0, 255, (1, *self.shape))
        pools = []
        for layer in self.network.layers:
            pooling, names = _find_pooling(layer["steps"]), [layer["sum"], *(step["tensor"] for step in layer["steps"])]
            before_and_after = [] if pooling is None else names[pooling : pooling + 2]
            pools.append(_measure_pool(*self.network.compute(noise, before_and_after)) if before_and_after else 1)
        return pools

    def _find_fields(self) -> Iterator[Field]:
        """Yield each layer's receptive field, by the arithmetic of V. Dumoulin and F. Visin, arXiv:1603.07285."""
        size, step, start = (np.array(values) for values in ([1, 1], [1, 1], [0, 0]))
        for layer, kernel, pool in zip(self.network.layers, self.kernels, self.pools, strict=True):
            if layer["kind"] == "convolution":
                start = start - step * layer["pads"][:2]
                size = size + step * (np.array(kernel[2:]) - 1)
                step = step * layer["strides"]
                size, step = size + step * (pool - 1), step * pool
            else:
                size, step, start = np.array(self.shape[:2]), np.zeros(2, int), np.zeros(2, int)
            yield Field(size=size.tolist(), step=step.tolist(), start=start.tolist())


def _find_pooling(steps: list[Step]) -> int | None:
    """Return the index of the max-pooling in a layer's steps; None if it has none."""
    return next((place for place, step in enumerate(steps) if step["operator"] == "MaxPool"), None)


def _measure_pool(before: np.ndarray, after: np.ndarray) -> int:
    """Return the side of the blocks of `before` whose maxima are `after`, 1 if none fits; both are [1, channels, …]."""
    for side in range(2, before.shape[2] + 1):
        height, width = (length // side for length in before.shape[2:])
        blocks = before[:, :, : height * side, : width * side].reshape(*before.shape[:2], height, side, width, side)
        if np.array_equal(blocks.max(axis=(3, 5)), after):
            return side
    return 1


def _follow_channels(steps: Iterable[Step]) -> Iterator[bool]:
    """Yield for each step whether its output has the channels last: each transposition moves them."""
    is_last = False
    for step in steps:
        is_last ^= step["operator"] == TRANSPOSE
        yield is_last


def _pick(tensor: np.ndarray, at: tuple[int, ...], is_last: bool = False) -> np.ndarray:
    """Return all units' values `at` a position of [units, height, width], units last if `is_last`, or of [units]."""
    values: np.ndarray = (tensor if is_last or tensor.ndim < 3 else np.moveaxis(tensor, 0, -1))[at]
    return values
