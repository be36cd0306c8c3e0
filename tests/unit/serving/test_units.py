"""What is said about a unit agrees with the network itself."""

import numpy as np
import pytest

from pipeline.config.model import CNNModel
from serving.units import Units
from tests.helpers.configs import CNN, DENSE
from tests.helpers.exported import PADDED, PIXELS, TWO_LAYERS, export

STRIDED = CNNModel.model_validate(
    {
        **DENSE,
        "family": "cnn",
        "convolutions": [
            {"filters": 3, "kernel_size": 2, "pool_size": 3, "activation": "tanh"},
            {"filters": 4, "strides": 2, "pool_size": 2, "activation": "tanh"},
        ],
    }
)
CONFIGS = {"pooled": CNN, "dense": TWO_LAYERS, "padded": PADDED, "strided": STRIDED}
POOLS = {"pooled": [2, 1, 1, 1], "dense": [1, 1, 1], "padded": [1, 1, 1], "strided": [3, 2, 1]}


@pytest.fixture(scope="module", params=CONFIGS)
def units(request, tmp_path_factory) -> Units:
    _, network = export(CONFIGS[request.param], tmp_path_factory.mktemp(request.param))
    found = Units(network, (28, 28))
    assert found.pools == POOLS[request.param]
    return found


def list_places(units: Units):
    """Each layer with its place, and for some units their place in rows and columns."""
    for place, layer in enumerate(units.network.layers):
        *sides, _ = layer["shape"]
        middle = [side // 2 for side in sides]
        yield from ((place, layer, at) for at in ([0] * len(sides), middle, [side - 1 for side in sides]))


def test_only_what_a_unit_sees_changes_it(units):
    """And each pixel that it sees changes it in at least one of a few images."""
    changed = np.zeros((len(PIXELS), 784, 28, 28), np.float32)
    changed[:] = PIXELS[:, np.newaxis]
    changed.reshape(-1, 784, 784)[:, np.arange(784), np.arange(784)] += 99
    after = units.network.activations(changed.reshape(-1, 28, 28))
    before = units.network.activations(PIXELS)
    for place, layer, at in list_places(units):
        if layer["kind"] != "convolution":
            continue
        differs = after[place].reshape(len(PIXELS), 784, *layer["shape"]) != before[place][:, np.newaxis]
        rows, columns = np.nonzero(differs[(slice(None), slice(None), *at)].any(axis=(0, 2)).reshape(28, 28))
        field = units.fields[place]
        for seen, axis in ((rows, 0), (columns, 1)):
            start = field["start"][axis] + field["step"][axis] * at[axis]
            assert (seen.min(), seen.max()) == (max(0, start), min(27, start + field["size"][axis] - 1)), place


def test_the_numbers_of_a_unit_add_up_to_its_output(units):
    for image in PIXELS[:2]:
        outputs = units.network.activations(image[np.newaxis])
        for place, layer, at in list_places(units):
            for unit in (0, layer["shape"][-1] - 1):
                found = units.work_out(place, image, unit, *at)
                inputs, weights = (np.array(found[key]) for key in ("inputs", "weights"))
                assert inputs.shape == weights.shape
                assert found["sum"] == pytest.approx((inputs * weights).sum() + found["bias"], rel=1e-4, abs=1e-4)
                assert found["sum"] == found["sums"][unit]
                last = found["steps"][-1]["value"]
                assert last == pytest.approx(outputs[place][(0, *at, unit)], abs=1e-6)


def test_a_pooled_unit_is_worked_out_where_its_value_comes_from(units):
    place = next((place for place, pool in enumerate(units.pools) if pool > 1), None)
    if place is None:
        return
    found, pool = units.work_out(place, PIXELS[0], 1, 2, 1), units.pools[place]
    assert [index // pool for index in found["at"]] == [2, 1]
    (step,) = (step["value"] for step in found["steps"] if step["operator"] == "MaxPool")
    assert step == found["sum"]


def test_layers_are_described_by_their_shapes(units):
    described = units.describe()
    for place, layer in enumerate(described):
        weights, bias = units.weights(place)
        assert [*weights.shape[1:]] == layer["kernel"]
        assert weights.shape[0] == bias.shape[0] == layer["shape"][-1]
    assert "Transpose" not in {step for layer in described for step in layer["steps"]}
    assert described[-1]["steps"] == ["Softmax"]
    assert described[-1]["field"] == {"size": [28, 28], "step": [0, 0], "start": [0, 0]}
