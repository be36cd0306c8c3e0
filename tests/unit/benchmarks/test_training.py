"""What benchmarks.training counts and prints; its trainings are tested only by running it."""

import json

import numpy as np
import pytest

from benchmarks import training
from pipeline.paths import Workspace
from pipeline.training import networks
from tests.helpers.configs import CNN, MNIST_SHAPE

RUNS = [
    {"name": "cnn_2m as published", "seed": 0, "epochs": 2, "seconds": 90.0, "test_accuracy": 0.9912,
     "seconds_to_goal": 45.0},
    {"name": "mnist_convnet", "seed": 0, "epochs": 15, "seconds": 99.0, "test_accuracy": 0.99, "seconds_to_goal": None},
    {"name": "cnn_fast", "seed": 0, "epochs": 1, "seconds": 5.0, "test_accuracy": 0.991, "limit_seconds": 2.5},
    {"name": "cnn_fast", "seed": 1, "epochs": 1, "seconds": 7.0, "test_accuracy": 0.993, "limit_seconds": 3.5},
]  # fmt: skip
HERE, THERE = ({"processor": name, "cores": 2} for name in ("Xeon", "EPYC"))
ON_TWO = [run | HERE for run in RUNS] + [RUNS[-1] | THERE]


def test_a_processor_is_named_with_its_generation(tmp_path):
    core = "processor\t: {}\ncpu family\t: 25\nmodel\t\t: 1\nmodel name\t: AMD EPYC\n\n"
    path = tmp_path / "cpuinfo"
    path.write_text(core.format(0) + core.format(1))
    assert training.name_processor(path) == "AMD EPYC (family 25, model 1)"
    path.write_text("processor\t: 0\nCPU implementer\t: 0x41\n")
    assert training.name_processor(path) == training.name_processor(tmp_path / "none") != ""


def test_the_table_has_a_row_for_each_name_the_fastest_first():
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in training.format_table(RUNS).splitlines()[2:]]
    assert rows == [
        ["**`cnn_fast`**", "1", "6.0 s", "2.0 ×", "99.20 ± 0.14 %", "2", ""],
        ["cnn_2m as published", "2", "90.0 s", "", "99.12 %", "1", "45 s"],
        ["mnist_convnet", "15", "99.0 s", "", "99.00 %", "1", "not in each"],
    ]


def test_figures_of_one_processor_stay_apart_from_those_of_another():
    here, there = training.format_tables(ON_TWO).split("2 cores, EPYC:\n\n")
    assert here == f"2 cores, Xeon:\n\n{training.format_table(RUNS)}\n\n"
    assert there == training.format_table(RUNS[-1:])


def test_the_plot_is_the_same_for_the_same_figures(tmp_path):
    for name in ("a.svg", "b.svg"):
        training.draw(ON_TWO, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_operations_are_those_of_the_matrix_products():
    """The expected figure is computed by hand, for a network with one convolution and one dense layer."""
    split = type("Split", (), {"pixels": np.zeros((10, 1))})
    data = type("Data", (), {"train": split, "val": split})
    config = CNN.model_copy(update={"convolutions": CNN.convolutions[:1], "dense": ()})
    network = networks.build_network(config, MNIST_SHAPE, 10)
    size, filters = config.convolutions[0].kernel_size, config.convolutions[0].filters
    side = config.convolutions[0].compute_side(28) * config.convolutions[0].pool_size
    first, last = 2 * size**2 * filters * side**2, 2 * network.layers[-1].kernel.shape[0] * 10
    assert training.count_operations(network, data) == 10 * (2 * first + 3 * last) + 10 * (first + last)


def test_each_run_is_kept_as_soon_as_it_ends(tmp_path, monkeypatch, capsys):
    """A measurement that is repeated on the same processor replaces the earlier one; if one fails, the others go on."""
    file, machine = tmp_path / "results" / "training.json", dict(HERE)

    def train(command, **_):
        name, seed = command[-2:]
        run = {"name": name, "seed": int(seed), "seconds": 1.0, "test_accuracy": 0.5} | machine
        return type("Done", (), {"returncode": int(name == "broken"), "stdout": "epoch 1\n" + json.dumps(run)})

    monkeypatch.setattr(training.subprocess, "run", train)
    monkeypatch.setattr(training, "__spec__", type("Spec", (), {"name": "benchmarks.training"}), raising=False)
    assert training.train({"a": 2, "broken": 1}, file) == ["broken, seed 0"]
    assert training.train({"a": 1}, file) == []
    machine |= THERE
    assert training.train({"a": 1}, file) == []
    runs = json.loads(file.read_text())["runs"]
    assert [(run["name"], run["seed"], run["processor"]) for run in runs] == [
        ("a", 1, "Xeon"), ("a", 0, "Xeon"), ("a", 0, "EPYC"),
    ]  # fmt: skip
    assert "broken, seed 0  failed" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["cnn_fast", "cnn_fsat:5", "cnn_fast:five", "--quik"])
def test_what_is_not_understood_starts_nothing(word):
    with pytest.raises(SystemExit, match="error: name models and seeds"):
        training.main(word)


@pytest.mark.parametrize("name", [*training.ALL, *training.QUICK])
def test_what_is_measured_exists(name):
    assert name in training.RIVALS or name in training.load(Workspace().params).models
