"""What a file says about its layers agrees with what Keras computes."""

import numpy as np
import pytest

from pipeline.config import model as sections
from serving.layers import NetworkLayers
from tests.helpers.configs import CNN, PERCEPTRON
from tests.helpers.exported import PADDED, PIXELS, TWO_LAYERS, export, run_keras

pytestmark = pytest.mark.slow  # each test exports a network
VIEWED = CNN.model_copy(update={"test_time_augmentation": sections.TestTimeAugmentation(translation=1), "members": 2})


@pytest.mark.parametrize(
    ("config", "kinds"),
    [
        (CNN, ["convolution", "convolution", "dense", "output"]),
        (TWO_LAYERS, ["dense", "dense", "output"]),
        (PADDED, ["convolution", "convolution", "output"]),
        (VIEWED, ["convolution", "convolution", "dense", "output"]),
        (PERCEPTRON, ["output"]),
    ],
)
def test_the_file_gives_what_each_layer_answers(tmp_path, config, kinds):
    model, inside = export(config, tmp_path)
    assert [layer["kind"] for layer in inside.layers] == kinds
    expected = run_keras(model, PIXELS)
    for layer, values, own in zip(inside.layers, inside.activations(PIXELS), expected, strict=True):
        assert [len(PIXELS), *layer["shape"]] == [*values.shape]
        np.testing.assert_allclose(values, own, atol=1e-4 * max(1, np.abs(own).max()))
        assert np.ptp(own) > 1e-3


@pytest.mark.parametrize("config", [CNN, TWO_LAYERS, PADDED])
def test_sums_can_be_computed_by_hand_from_the_inputs_and_the_weights(tmp_path, config):
    _, inside = export(config, tmp_path)
    for place, layer in enumerate(inside.layers):
        inputs, sums = inside.compute(PIXELS, [layer["input"], layer["sum"]])
        kernel, bias = inside.weights[place]
        if layer["kind"] == "convolution":
            top, left, *_ = layer["pads"]
            padded = np.pad(inputs, ((0, 0), (0, 0), (top, 9), (left, 9)))
            row, column, filter = 2, 3, 1
            y, x = (at * stride for at, stride in zip((row, column), layer["strides"], strict=True))
            patch = padded[0, :, y : y + kernel.shape[2], x : x + kernel.shape[3]]
            by_hand, given = (patch * kernel[filter]).sum(), sums[0, filter, row, column]
        else:
            filter = 4
            by_hand, given = inputs[0] @ kernel[:, filter], sums[0, filter]
        assert given == pytest.approx(by_hand + (0 if bias is None else bias[filter]), rel=1e-4, abs=1e-4)


def test_a_file_of_an_older_version_has_no_layers(tmp_path):
    import onnx

    _, inside = export(CNN, tmp_path)
    assert inside.layers
    file = onnx.load(tmp_path / "model.onnx")
    del file.metadata_props[:]
    assert NetworkLayers(file.SerializeToString()).layers == []
