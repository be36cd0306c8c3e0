"""Networks whose answers are known without training."""

from pathlib import Path

import numpy as np


def bright_pixel_weights(wrong: int) -> np.ndarray:
    """Of a layer that sees the label in the first ten pixels, and takes each of the digits below `wrong` for a 9."""
    weights = np.zeros((784, 10), np.float32)
    weights[np.arange(10), [9 if digit < wrong else digit for digit in range(10)]] = 0.02
    return weights


def write_onnx(path: Path, wrong: int) -> None:
    """The network of `bright_pixel_weights` and a softmax."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"]),
    ]
    entry = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["images", 28, 28])
    leave = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["images", 10])
    graph = helper.make_graph(
        nodes, "network", [entry], [leave], [numpy_helper.from_array(bright_pixel_weights(wrong), "weights")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    helper.set_model_props(model, {"parameters": "7840"})
    onnx.save(model, path)
