"""The canonical bytes of exported files: the same weights give the same .keras and the same .onnx."""

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import onnx

from pipeline.inference import INPUT, OUTPUT


def canonicalise_keras(path: Path) -> None:
    """Rewrite a .keras archive without its date and memory addresses."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in sorted(archive.namelist())}
    metadata = json.loads(parts["metadata.json"])
    metadata["date_saved"] = "1980-01-01@00:00:00"
    parts["metadata.json"] = json.dumps(metadata).encode()
    numbers: dict[bytes, int] = {}
    # Keras names an object that layers share by its memory address; number such objects in order of appearance.
    parts["config.json"] = re.sub(
        rb'"shared_object_id": (\d+)',
        lambda found: b'"shared_object_id": %d' % numbers.setdefault(found[1], len(numbers)),
        parts["config.json"],
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # whose date is 1980-01-01


def canonicalise_onnx(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same graph, its nodes and tensors named and ordered by a walk from the output.

    tf2onnx gives other names and another order each time. This changes `model`, too.
    """
    graph = model.graph
    replace_unknown_operators(graph)
    nodes, tensors, names = _walk(graph)
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
    """Replace operators of TensorFlow that tf2onnx leaves by those of ONNX: erfc = 1 − erf, expm1 = exp − 1."""
    for node in [node for node in graph.node if node.op_type in ("Erfc", "Expm1")]:
        operator = "Erf" if node.op_type == "Erfc" else "Exp"
        one, inner = f"{node.output[0]}/one", f"{node.output[0]}/{operator}"
        difference = [one, inner] if node.op_type == "Erfc" else [inner, one]
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(1, np.float32), one))
        graph.node.append(onnx.helper.make_node(operator, node.input, [inner]))
        graph.node.append(onnx.helper.make_node("Sub", difference, node.output))
        graph.node.remove(node)


def _walk(graph: onnx.GraphProto) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto], dict[str, str]]:
    """Return nodes and constants in canonical order, and the canonical name of each tensor by its present name.

    The walk visits each node's inputs before the node, in the order in which the node lists them, so it depends on
    the graph's structure alone.
    """
    producers = {output: node for node in graph.node for output in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    names = {graph.input[0].name: INPUT, graph.output[0].name: OUTPUT, "": ""}
    nodes: list[onnx.NodeProto] = []
    tensors: list[onnx.TensorProto] = []
    seen: set[int] = set()

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
    return nodes, tensors, names
