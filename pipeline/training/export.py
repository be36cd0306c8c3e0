"""The published forms of a model: .keras, .onnx and two of .tflite, as canonical bytes, checked against each other."""

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import onnx

from pipeline import inference as litert
from pipeline.cli import UserError

BATCH = 1000
TOLERANCE = 1e-4  # largest difference of a probability between two forms of one model
INPUT, OUTPUT = "pixels", "probabilities"


def export(
    model: keras.Model, folder: Path, metadata: dict[str, str], pixels: np.ndarray, calibration: np.ndarray
) -> None:
    """Write model.keras, model.onnx, model.tflite and model_int8.tflite; `metadata` is kept inside the ONNX file.

    UserError unless the first three give `pixels`, float32 [n, 28, 28], the same labels and nearly the same
    probabilities. The fourth is an approximation, fitted to `calibration`, float32 [n, 28, 28]; evaluate measures it.
    """
    # First, because Keras exports only a model that has been called.
    expected = model.predict(pixels, batch_size=BATCH, verbose=0)
    model.save(folder / "model.keras")
    canonical_keras(folder / "model.keras")
    _write_onnx(model, folder / "model.onnx", metadata)
    model.export(folder / "model.tflite", format="litert", verbose=False)
    write_int8(model, folder / "model_int8.tflite", calibration)
    for name, run in (("model.keras", _run_keras), ("model.onnx", _run_onnx), ("model.tflite", litert.run)):
        compare(name, run(folder / name, pixels), expected)


def export_onnx(model: keras.Model, path: Path, metadata: dict[str, str], pixels: np.ndarray) -> None:
    """Write the ONNX file alone, as `export` does, and check it in the same way."""
    expected = model.predict(pixels, batch_size=1000, verbose=0)
    _write_onnx(model, path, metadata)
    compare(path.name, _run_onnx(path, pixels), expected)


def write_int8(model: keras.Model, path: Path, calibration: np.ndarray) -> None:
    """Write a LiteRT file of 8-bit weights and activations: a pixel a byte, uint8 [n, 28, 28], to float32 [n, classes].

    The range of each layer is what the images `calibration`, float32 [n, 28, 28], make of it. An operator that LiteRT
    has in float32 alone (of Keras' activations, elu, hard_shrink and a few more) stays float32 inside the file; so do
    all activations of a network that has no ranges that LiteRT can run, which is then said.
    """
    from tensorflow import lite, uint8

    weights = {"format": "litert", "verbose": False, "optimizations": [lite.Optimize.DEFAULT]}
    # The input's range is calibrated too. With a pixel of 255 its scale is 1: the interpreter takes bytes as they are.
    calibration = calibration.copy()
    calibration[0, 0, 0] = 255
    model.export(
        path,
        **weights,
        representative_dataset=lambda: ([image[np.newaxis]] for image in calibration),
        target_spec={"supported_ops": [lite.OpsSet.TFLITE_BUILTINS_INT8, lite.OpsSet.TFLITE_BUILTINS]},
        inference_input_type=uint8,
    )
    try:
        litert.run(path, calibration[:1])
    except RuntimeError:
        # Seen where a layer is dead: of answers that are all 0 the range is none, and LiteRT can't divide by it.
        print(f"{path.name} has 8-bit weights alone: this network's activations have no range that LiteRT can run")
        pixels = keras.Input(model.input_shape[1:], dtype="uint8")
        keras.Model(pixels, model(keras.ops.cast(pixels, "float32"))).export(path, **weights)


def compare(name: str, answers: np.ndarray, expected: np.ndarray) -> None:
    """Raise UserError unless two sets of probabilities [n, classes] agree on labels and, nearly, on values."""
    difference = float(np.abs(answers - expected).max())
    labels = int((answers.argmax(axis=1) != expected.argmax(axis=1)).sum())
    if labels or not difference <= TOLERANCE:
        raise UserError(
            f"{name} differs from the trained model on {labels} of {len(expected)} labels, and by up to "
            f"{difference:.2g} in a probability ({TOLERANCE:g} is allowed); look for a layer that the exporter "
            "does not support"
        )


def canonical_keras(path: Path) -> None:
    """Rewrite a .keras archive without its date and memory addresses: the same weights give the same bytes."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in sorted(archive.namelist())}
    metadata = json.loads(parts["metadata.json"])
    metadata["date_saved"] = "1980-01-01@00:00:00"
    parts["metadata.json"] = json.dumps(metadata).encode()
    numbers: dict[bytes, int] = {}
    # An object that layers share is known by its address; number them in the order in which they appear.
    parts["config.json"] = re.sub(
        rb'"shared_object_id": (\d+)',
        lambda found: b'"shared_object_id": %d' % numbers.setdefault(found[1], len(numbers)),
        parts["config.json"],
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # whose date is 1980-01-01


def canonical_onnx(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph, its nodes and tensors named and ordered by a walk from the output.

    tf2onnx names and orders them anew each time. The walk visits each node's inputs before the node, in the
    order in which the node lists them, so it depends on the graph's structure alone.
    """
    graph = model.graph
    replace_unknown_operators(graph)
    producers = {output: node for node in graph.node for output in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    names = {graph.input[0].name: INPUT, graph.output[0].name: OUTPUT, "": ""}
    nodes, tensors, seen = [], [], set()

    def visit(tensor: str) -> None:
        if tensor in constants and tensor not in names:
            names[tensor] = f"constant_{len(tensors)}"
            tensors.append(constants[tensor])
        node = producers.get(tensor)
        if node is None or id(node) in seen:
            return
        seen.add(id(node))
        for source in node.input:
            visit(source)
        for index, output in enumerate(node.output):
            names.setdefault(output, f"{node.op_type.lower()}_{len(nodes)}_{index}")
        nodes.append(node)

    visit(graph.output[0].name)
    for tensor in tensors:
        tensor.name = names[tensor.name]
    for index, node in enumerate(nodes):
        node.name = f"{node.op_type.lower()}_{index}"
        node.doc_string = ""
        for field in (node.input, node.output):
            field[:] = [names[name] for name in field]
        node.attribute.sort(key=lambda attribute: attribute.name)
    graph.input[0].name, graph.output[0].name = INPUT, OUTPUT
    for value in (graph.input[0], graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "images"
    canonical = onnx.helper.make_graph(nodes, "network", graph.input, graph.output, tensors)
    opsets = sorted(model.opset_import, key=lambda opset: opset.domain)
    result = onnx.helper.make_model(canonical, opset_imports=opsets, ir_version=model.ir_version)
    onnx.checker.check_model(result, full_check=True)
    return result


def replace_unknown_operators(graph: onnx.GraphProto) -> None:
    """Say with ONNX's own operators what tf2onnx leaves in TensorFlow's: erfc = 1 − erf, expm1 = exp − 1."""
    known = {"Erfc": ("Erf", lambda one, inner: (one, inner)), "Expm1": ("Exp", lambda one, inner: (inner, one))}
    for node in [node for node in graph.node if node.op_type in known]:
        operator, difference = known[node.op_type]
        one, inner = f"{node.output[0]}/one", f"{node.output[0]}/{operator}"
        graph.initializer.append(onnx.numpy_helper.from_array(np.float32(1), one))
        graph.node.append(onnx.helper.make_node(operator, node.input, [inner]))
        graph.node.append(onnx.helper.make_node("Sub", difference(one, inner), node.output))
        graph.node.remove(node)


def _write_onnx(model: keras.Model, path: Path, metadata: dict[str, str]) -> None:
    model.export(path, format="onnx", verbose=False)
    graph = canonical_onnx(onnx.load(path))
    onnx.helper.set_model_props(graph, metadata)
    path.write_bytes(graph.SerializeToString(deterministic=True))


def _run_keras(path: Path, pixels: np.ndarray) -> np.ndarray:
    return keras.saving.load_model(path).predict(pixels, batch_size=BATCH, verbose=0)


def _run_onnx(path: Path, pixels: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run([OUTPUT], {INPUT: batch})[0] for batch in _batches(pixels)])


def _batches(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """Slices of at most BATCH images, which bound the memory that a wide network takes."""
    return (pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH))
