"""Find the tensors of an ONNX file that are the layers of its network; the app's page and the report show them.

Exporters rename, merge and reorder what Keras calls a layer. So a layer's tensor is found by its values: those that
Keras computes for the same images.
"""

import keras
import numpy as np
import onnx
import onnxruntime

from pipeline.data.arrays import FloatArray, UInt8Array
from pipeline.inference import INPUT, OUTPUT
from pipeline.training.networks import list_members
from serving.layers import CHANNELS_LAST, Layer, Step, Sums, add_outputs

TOLERANCE = 1e-4  # largest difference of a value; relative to the tensor's largest value if that is above 1
IMAGES = 4  # that tensors are compared on
WEIGHTED = ("Conv", "MatMul", "Gemm")
# Layers that may follow an activation and aren't shown.
AFTER = (
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
)


def describe_layers(published: keras.Model, network: onnx.ModelProto, pixels: UInt8Array) -> list[Layer]:
    """Return a published model's layers with weights, from the first to the output, with their tensors in its file.

    If there are several members, describe the first one; if there are several views, the unchanged image. Leave out a
    layer for which the file has no tensor. `pixels` are images as the model takes them.
    """
    images = pixels[:IMAGES].astype(np.float32)
    tensors = _run_file(network, images)
    layers = []
    for kind, expected in _run_keras(published, images):
        output = next((name for name, values in tensors.items() if _is_same(values, expected)), None)
        sums = _find_sums(network.graph, output) if output else None
        if output and sums:
            is_first = tensors[output].ndim == 4 and tensors[output].shape != expected.shape
            shape = list(expected.shape[1:])
            layers.append(Layer(kind=kind, shape=shape, output=output, channels_first=is_first, **sums))
    return layers


def _run_keras(published: keras.Model, images: FloatArray) -> list[tuple[str, FloatArray]]:
    """Return the kind of each layer with weights, and its output after the activation, in Keras' order of axes."""
    member = list_members(published)[0]
    kinds: list[str] = []
    outputs: list[keras.KerasTensor] = []
    for operation in member.operations:
        if isinstance(operation, (keras.layers.Conv2D, keras.layers.Dense)):
            kinds.append("convolution" if isinstance(operation, keras.layers.Conv2D) else "dense")
            outputs.append(operation.output)
        elif outputs and not isinstance(operation, AFTER):
            outputs[-1] = operation.output
    kinds[-1] = "output"
    before = [layer for layer in published.layers if isinstance(layer, (keras.layers.Rescaling, keras.layers.Reshape))]
    layers = keras.Model(published.input, keras.Model(member.input, outputs)(before[-1].output))
    return list(zip(kinds, keras.tree.flatten(layers.predict_on_batch(images)), strict=True))


def _run_file(network: onnx.ModelProto, images: FloatArray) -> dict[str, FloatArray]:
    """Return the values of all tensors that the file computes, by name, in the file's order."""
    names = [name for node in network.graph.node for name in node.output]
    file = add_outputs(network.SerializeToString(), (name for name in names if name != OUTPUT))
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(names, {INPUT: images}), strict=True))


def _is_same(values: FloatArray, expected: FloatArray) -> bool:
    """Return whether a tensor of the file has the values of a layer, with channels last or first."""
    forms = (values, values.transpose(CHANNELS_LAST)) if values.ndim == 4 else (values,)
    limit = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    return any(form.shape == expected.shape and np.abs(form - expected).max() <= limit for form in forms)


def _find_sums(graph: onnx.GraphProto, output: str) -> Sums | None:
    """Return the weighted sums that a layer's output comes from, and the steps between; None if there are none."""
    producers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name for tensor in graph.initializer}
    waiting, between, weighted = [output], [], None
    while waiting:
        node = producers.get(waiting.pop(0))
        if node is None or node in between:
            continue
        if node.op_type in WEIGHTED and node.input[1] in constants:
            weighted = node
            continue
        between.append(node)
        waiting += node.input
    if weighted is None:
        return None
    steps = [node for node in graph.node if node in between]
    bias, total = next(iter(weighted.input[2:]), None), weighted.output[0]
    if bias is None and steps and steps[0].op_type == "Add" and {*steps[0].input} & constants:
        (bias,), total = {*steps[0].input} & constants, steps[0].output[0]
        steps = steps[1:]
    shaping = {entry.name: list(entry.ints) for entry in weighted.attribute}
    return Sums(
        input=weighted.input[0],
        kernel=weighted.input[1],
        bias=bias,
        sum=total,
        strides=shaping.get("strides", [1, 1]),
        pads=shaping.get("pads", [0, 0, 0, 0]),
        steps=[Step(operator=node.op_type, tensor=node.output[0]) for node in steps],
    )
