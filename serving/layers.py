"""The layers of a network, from the ONNX file that is served: the output of each for an image, and its weights.

The file's metadata names the tensors of each layer (pipeline/training/layers.py).
"""

import json
from collections.abc import Iterable
from functools import cached_property
from typing import Any, TypedDict

import numpy as np
import onnxruntime

INPUT = "pixels"
CHANNELS_LAST = (0, 2, 3, 1)  # from [n, channels, height, width]
GRAPH, OUTPUT, NAME = 7, 12, 1  # fields of ModelProto, GraphProto and ValueInfoProto in onnx.proto


class Step(TypedDict):
    """An operator between the weighted sum and a layer's output, and the tensor that it gives."""

    operator: str
    tensor: str


class Sums(TypedDict):
    """The names of the file's tensors from which a layer's output is computed."""

    input: str
    kernel: str
    """[filters, channels, height, width] for a convolution, [inputs, units] for other layers."""
    bias: str | None
    sum: str
    """The weighted sums, with the bias."""
    strides: list[int]
    pads: list[int]
    """For a convolution: zeros above, left, below, right."""
    steps: list[Step]


class Layer(Sums):
    """A layer with its output, and the output's shape for one image, [height, width, channels] or [units]."""

    kind: str
    """convolution, dense or output."""
    shape: list[int]
    output: str
    channels_first: bool
    """Whether the file has the output as [n, channels, height, width]."""


class NetworkLayers:
    """The layers of the network in an ONNX file's bytes; an empty list if the file doesn't name them."""

    def __init__(self, network: bytes):
        described = _open(network).get_modelmeta().custom_metadata_map.get("layers", "[]")
        self.layers: list[Layer] = json.loads(described)
        self.tensors = sorted({name for layer in self.layers for name in _list_tensors(layer)})
        self._session = _open(add_outputs(network, self.tensors))

    def compute(self, pixels: np.ndarray, tensors: Iterable[str]) -> list[np.ndarray]:
        """Return the named tensors for raw pixels [n, …]; their first axis is the image, except for weights."""
        names = list(tensors)
        if not names:  # ONNX Runtime would return all outputs
            return []
        found: list[np.ndarray] = self._session.run(names, {INPUT: pixels.astype(np.float32)})
        return found

    def activations(self, pixels: np.ndarray) -> list[np.ndarray]:
        """Return the output of each layer, [n, height, width, channels] or [n, units], for raw pixels [n, …]."""
        outputs = self.compute(pixels, [layer["output"] for layer in self.layers])
        return [
            values.transpose(CHANNELS_LAST) if layer["channels_first"] else values
            for layer, values in zip(self.layers, outputs, strict=True)
        ]

    @cached_property
    def weights(self) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """Return kernel and bias of each layer, as they are in the file; None for a layer without bias."""
        names = sorted({name for layer in self.layers for name in (layer["kernel"], layer["bias"]) if name})
        shape = self._session.get_inputs()[0].shape[1:]
        found = dict(zip(names, self.compute(np.zeros((1, *shape)), names), strict=True))
        return [(found[layer["kernel"]], found[layer["bias"]] if layer["bias"] else None) for layer in self.layers]


def add_outputs(network: bytes, tensors: Iterable[str]) -> bytes:
    """Return the bytes of an ONNX file with more outputs: tensors of its graph, also constants.

    A reader merges protocol buffers that are concatenated, and appends their lists. So the outputs are just appended.
    """
    outputs = b"".join(_encode(OUTPUT, _encode(NAME, tensor.encode())) for tensor in tensors)
    return network + _encode(GRAPH, outputs)


def _encode(field: int, content: bytes) -> bytes:
    """Return a field of variable length in the format of protocol buffers."""
    return _encode_number(field << 3 | 2) + _encode_number(len(content)) + content


def _encode_number(number: int) -> bytes:
    low, high = number & 127, number >> 7
    return bytes([low | 128]) + _encode_number(high) if high else bytes([low])


def _list_tensors(layer: Layer) -> list[str]:
    bias = [layer["bias"]] if layer["bias"] else []
    steps = [step["tensor"] for step in layer["steps"]]
    return [layer["input"], layer["kernel"], *bias, layer["sum"], *steps, layer["output"]]


def _open(network: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # one image gains nothing from a second thread
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
