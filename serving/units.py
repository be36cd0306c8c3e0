"""The units of a network's layers: what each sees of the image, and its output worked out with the real numbers."""

from collections.abc import Iterable, Iterator
from typing import Any, TypedDict

import numpy as np

from serving.layers import NetworkLayers, Step

KERNEL_LAST = (0, 2, 3, 1)  # from [filters, channels, height, width]
# Operators that move values without changing them. A transposition turns [n, channels, height, width] round.
TRANSPOSE, MOVING = "Transpose", ("Transpose", "Reshape", "Flatten", "Identity")


class Field(TypedDict):
    """The part of the image that a layer's units see, in pixels [down, right].

    The unit in row and column 0 sees `size` from `start` on, which lies outside where zeros are added; each next one
    sees as much, `step` further.
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
        """Return of each layer what a page has to know to draw it: nothing that grows with its number of weights."""
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
        """Return weights, [filters, height, width, channels] or [units, inputs], and biases (0 if none) of a layer."""
        kernel, bias = self.network.weights[place]
        kernel = kernel.transpose(KERNEL_LAST) if kernel.ndim == 4 else kernel.T
        return kernel, np.zeros(len(kernel), np.float32) if bias is None else bias

    def work_out(self, place: int, pixels: np.ndarray, unit: int, row: int = 0, column: int = 0) -> dict[str, Any]:
        """Return what one unit's output comes from, for one image: numbers that add up to it.

        `inputs` and `weights` are [height, width, channels] or [inputs]; `sum` is their product and `bias`. Of a
        convolution `at` is the place before any pooling, of those that are pooled the one with the largest value.
        `sums` are all units' sums there, and `steps` the values of the operators from the sum to the output.
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
        """Return where each of a convolution's `values`, the sum and the steps, has what becomes the output at `at`."""
        pooling = _find_pooling(self.network.layers[place]["steps"])
        if pooling is None:
            return [at] * len(values)
        row, column = (self.pools[place] * index for index in at)
        block = values[pooling][unit, row : row + self.pools[place], column : column + self.pools[place]]
        down, right = divmod(int(block.argmax()), block.shape[1])
        before = (row + down, column + right)
        return [before if place <= pooling else at for place in range(len(values))]

    def _cut_patch(self, place: int, inputs: np.ndarray, at: tuple[int, ...]) -> np.ndarray:
        """Return the inputs, [height, width, channels], of a convolution's sum, of [channels, height, width]."""
        layer = self.network.layers[place]
        above, left, below, right = layer["pads"]
        padded = np.pad(inputs, ((0, 0), (above, below), (left, right)))
        y, x = (index * stride for index, stride in zip(at, layer["strides"], strict=True))
        height, width = self.kernels[place][2:]
        return padded[:, y : y + height, x : x + width].transpose(1, 2, 0)

    def _find_pools(self) -> list[int]:
        """Return the side of each layer's max-pooling, by what it makes of noise; 1 where there is none."""
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
    """Return the place of the max-pooling among a layer's steps; None if it has none."""
    return next((place for place, step in enumerate(steps) if step["operator"] == "MaxPool"), None)


def _measure_pool(before: np.ndarray, after: np.ndarray) -> int:
    """Return the side of the blocks [side, side] of whose values `after` has the largest; both [1, channels, …]."""
    for side in range(2, before.shape[2] + 1):
        height, width = (length // side for length in before.shape[2:])
        blocks = before[:, :, : height * side, : width * side].reshape(*before.shape[:2], height, side, width, side)
        if np.array_equal(blocks.max(axis=(3, 5)), after):
            return side
    return 1


def _follow_channels(steps: Iterable[Step]) -> Iterator[bool]:
    """Yield of each step whether its channels come last: a transposition moves them."""
    is_last = False
    for step in steps:
        is_last ^= step["operator"] == TRANSPOSE
        yield is_last


def _pick(tensor: np.ndarray, at: tuple[int, ...], is_last: bool = False) -> np.ndarray:
    """Return all units' values at a place of a tensor, [units, height, width] or with the units last, or [units]."""
    values: np.ndarray = (tensor if is_last or tensor.ndim < 3 else np.moveaxis(tensor, 0, -1))[at]
    return values
