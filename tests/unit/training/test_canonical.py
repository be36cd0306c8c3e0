import json
import zipfile
from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from scipy.special import erfc

from pipeline.inference import open_onnx
from pipeline.training.canonical import canonicalise_keras, canonicalise_onnx

RANDOM = np.random.default_rng(0)
WEIGHTS, BIAS = RANDOM.random((784, 4), np.float32), RANDOM.random(4, np.float32)


def make_model(nodes: Sequence[onnx.NodeProto], entry: str = "in", leave: str = "out", reverse: bool = False):
    """Return a model from 28×28 pixels to four numbers, with the constants `weights` and `bias`."""
    tensors = [numpy_helper.from_array(WEIGHTS, "weights"), numpy_helper.from_array(BIAS, "bias")]
    graph = helper.make_graph(
        list(nodes),
        "any",
        [helper.make_tensor_value_info(entry, TensorProto.FLOAT, ["n", 28, 28])],
        [helper.make_tensor_value_info(leave, TensorProto.FLOAT, ["n", 4])],
        tensors[::-1] if reverse else tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


def make_dense(prefix: str, **options) -> onnx.ModelProto:
    """Return Flatten, MatMul, Add and Softmax, whose own names begin with `prefix`."""
    names = [f"{prefix}{index}" for index in range(5)]
    nodes = [
        helper.make_node("Flatten", [names[0]], [names[1]], f"{prefix}first", doc_string=prefix, axis=1),
        helper.make_node("MatMul", [names[1], "weights"], [names[2]]),
        helper.make_node("Add", [names[2], "bias"], [names[3]]),
        helper.make_node("Softmax", [names[3]], [names[4]], axis=-1),
        helper.make_node("Relu", [names[1]], [f"{prefix}unused"]),
    ]
    return make_model(nodes, names[0], names[4], **options)


def test_the_form_does_not_depend_on_names_or_order():
    first = canonicalise_onnx(make_dense("a"))
    other = canonicalise_onnx(make_dense("tensor/", reverse=True))
    assert first.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


def test_nodes_and_tensors_are_named_by_the_walk_from_the_output():
    graph = canonicalise_onnx(make_dense("a")).graph
    assert (graph.name, graph.input[0].name, graph.output[0].name) == ("network", "pixels", "probabilities")
    assert [node.name for node in graph.node] == ["flatten_0", "matmul_1", "add_2", "softmax_3"]
    assert [list(node.input) for node in graph.node] == [
        ["pixels"], ["flatten_0_0", "constant_0"], ["matmul_1_0", "constant_1"], ["add_2_0"],
    ]  # fmt: skip
    assert [node.doc_string for node in graph.node] == [""] * 4
    assert [tensor.name for tensor in graph.initializer] == ["constant_0", "constant_1"]
    for value in (graph.input[0], graph.output[0]):
        assert value.type.tensor_type.shape.dim[0].dim_param == "images"


def test_a_second_pass_changes_nothing():
    once = canonicalise_onnx(make_dense("a")).SerializeToString(deterministic=True)
    again = canonicalise_onnx(onnx.ModelProto.FromString(once)).SerializeToString(deterministic=True)
    assert again == once


def test_attributes_are_sorted():
    model = make_dense("a")
    node = model.graph.node[0]
    node.op_type = "Flatten"
    softmax = model.graph.node[3]
    softmax.op_type = "HardSigmoid"
    del softmax.attribute[:]
    softmax.attribute.extend([helper.make_attribute("beta", 0.5), helper.make_attribute("alpha", 0.2)])
    names = [attribute.name for attribute in canonicalise_onnx(model).graph.node[-1].attribute]
    assert names == ["alpha", "beta"]


def test_a_broken_graph_is_refused():
    model = make_dense("a")
    model.graph.node[1].op_type = "NoSuchOperator"
    with pytest.raises(onnx.checker.ValidationError):
        canonicalise_onnx(model)


@pytest.mark.parametrize(("operator", "expected"), [("Erfc", erfc), ("Expm1", np.expm1)])
def test_operators_of_tensorflow_are_said_with_onnxs_own(tmp_path, operator, expected):
    nodes = [
        helper.make_node("Flatten", ["in"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["product"]),
        helper.make_node(operator, ["product"], ["twisted"]),
        helper.make_node("Add", ["twisted", "bias"], ["out"]),
    ]
    path = tmp_path / "model.onnx"
    onnx.save(canonicalise_onnx(make_model(nodes)), path)
    pixels = RANDOM.random((3, 28, 28), np.float32) / 400
    (found,) = open_onnx(path).run(None, {"pixels": pixels})
    np.testing.assert_allclose(found, expected(pixels.reshape(3, -1) @ WEIGHTS) + BIAS, atol=1e-5)


def write_archive(path, date: str, addresses: Sequence[int], order: Sequence[str]) -> None:
    shared = [{"name": "relu", "shared_object_id": address} for address in addresses]
    parts = {
        "metadata.json": json.dumps({"keras_version": "3", "date_saved": date}),
        "config.json": json.dumps({"layers": shared}),
        "model.weights.h5": "weights",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name in order:
            archive.writestr(name, parts[name])


def test_a_keras_archive_keeps_no_date_no_address_and_no_order(tmp_path):
    names = ["metadata.json", "config.json", "model.weights.h5"]
    write_archive(tmp_path / "a", "2026-01-01@10:00:00", [140001, 140002, 140001], names)
    write_archive(tmp_path / "b", "2027-02-02@20:00:00", [99, 7, 99], names[::-1])
    for name in ("a", "b"):
        canonicalise_keras(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with zipfile.ZipFile(tmp_path / "a") as archive:
        assert archive.namelist() == sorted(names)
        layers = json.loads(archive.read("config.json"))["layers"]
        assert [layer["shared_object_id"] for layer in layers] == [0, 1, 0]
        assert json.loads(archive.read("metadata.json"))["keras_version"] == "3"
        assert archive.read("model.weights.h5") == b"weights"
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}
