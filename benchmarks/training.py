"""Train models and their rivals on MNIST in turn, and save time and test accuracy in benchmarks/results/training.json.

    python -m benchmarks.training [name:seeds …]    # cnn_fast:5 "cnn_2m as published:5"
    python -m benchmarks.training --quick           # 5 minutes, into results/training-quick.json
    python -m benchmarks.training --tables          # no training: tables and the plot of docs/benchmarks.md again

Names are the models of params.yaml and those of benchmarks/rivals.py. Each training is a process of its own, with the
number of threads in params.yaml; all names are trained with one seed before the next seed. A result is saved as soon as
its training ends, and replaces an earlier one of the same name, seed and processor; a table compares the results of one
processor. data/prepared must hold MNIST (`dvc repro preprocess`). Schedules are fixed, the last epoch counts, and
nothing is chosen by the test images. Time is that of `fit`: without imports, with the building of the graph, and for
models of params.yaml with the validation after each epoch. Rivals are tested after each epoch, but this time isn't
counted. The limit is the time that the matrix products alone would take at the speed of a large one. examples/mnist
needs PyTorch, which is not in the lock: uv pip install --group rivals --torch-backend cpu.
"""

import json
import os
import platform
import subprocess
import sys
import time
from contextlib import suppress
from datetime import date
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.rivals import RIVALS, Images, Predict
from pipeline.config.params import load
from pipeline.data.pixels import as_raw, normalise
from pipeline.data.prepared import Split, TrainingData, load_split, load_training_data
from pipeline.files import read_json, write_json
from pipeline.paths import Workspace

if TYPE_CHECKING:
    import keras

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parent.parent / "docs"
GOAL = 0.991  # the best accuracy that one of the introductions published
ALL = {
    **{"cnn_fast": 5, "cnn_2m as published": 5, "cnn_accurate": 5, "cnn_2m": 1, "cnn_tiny": 5, "dense_best": 5},
    **{"mnist_convnet": 3, "dense_512 as published": 3, "dense_512": 3, "examples/mnist": 1, "cnn_best": 3},
}
QUICK = {"cnn_fast": 3, "cnn_2m as published": 1, "dense_512": 1, "dense_512 as published": 1, "cnn_accurate": 1}
Run = dict[str, Any]
KEY = ("name", "seed", "processor")  # a later run with the same values replaces an earlier one


def main(*words: str) -> None:
    """Train the models that are named, or all of them; print the tables."""
    options, names = {word for word in words if word.startswith("--")}, [word for word in words if word[:2] != "--"]
    known = (*load().models, *RIVALS)
    wanted = {name: int(seeds) for name, _, seeds in (word.rpartition(":") for word in names) if seeds.isdecimal()}
    if len(wanted) < len(names) or not {*wanted} <= {*known} or not options <= {"--quick", "--tables"}:
        sys.exit(f"error: name models and seeds, as in cnn_fast:5, of {', '.join(known)}; or --quick, or --tables")
    described = Workspace().dataset
    if "--tables" not in options and (not described.exists() or read_json(described)["name"] != "mnist"):
        sys.exit(
            "error: data/prepared isn't MNIST: set `dataset: mnist` in params.yaml, and run `dvc repro preprocess`"
        )
    file = RESULTS / ("training-quick.json" if "--quick" in options else "training.json")
    failed = [] if "--tables" in options else train(wanted or (QUICK if "--quick" in options else ALL), file)
    print(format_tables(read_json(file)["runs"]))
    if failed:
        sys.exit(f"error: {len(failed)} trainings failed: {', '.join(failed)}")
    if file.name == "training.json":
        write_docs(read_json(file))


def train(wanted: dict[str, int], file: Path) -> list[str]:
    """Run each training in a process of its own, all names seed by seed; return the trainings that failed."""
    failed = []
    queue = [(name, seed) for seed in range(max(wanted.values())) for name, seeds in wanted.items() if seed < seeds]
    for place, (name, seed) in enumerate(queue, 1):
        print(f"{place}/{len(queue)}  {name}, seed {seed}", end="  ", flush=True)
        command = (sys.executable, "-m", __spec__.name, "--one", name, str(seed))
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        )
        if done.returncode:
            print("failed")
            failed.append(f"{name}, seed {seed}")
            continue
        run = json.loads(done.stdout.splitlines()[-1])
        print(f"{run['seconds']:.1f} s  {run['test_accuracy']:.2%}", flush=True)
        results = read_json(file) if file.exists() else {"runs": []}
        others = [other for other in results["runs"] if any(other[key] != run[key] for key in KEY)]
        file.parent.mkdir(exist_ok=True)
        write_json(file, {"runs": [*others, run]})
    return failed


def train_one(name: str, seed: int) -> Run:
    """Train a model or a rival with one seed; return its time, its accuracy and the machine."""
    workspace = Workspace()
    test = load_split(workspace.prepared, "test")
    run: Run = {"name": name, "seed": seed} | describe_machine()
    return run | (train_rival(name, seed, test) if name in RIVALS else train_model(name, seed, test))


def train_model(name: str, seed: int, test: Split) -> Run:
    """Train a model of params.yaml as the stage `train` does."""
    from pipeline.training import fit

    params = load()
    config = params.model(name)
    fit.use_threads(params.threads)
    data = load_training_data(Workspace().prepared)
    network, epochs = fit.train_model(name, config, data, seed)
    temperature = fit.measure_temperature(network, config, data.val)
    return {
        "parameters": network.count_params(),
        "epochs": len(epochs),
        "seconds": round(sum(epoch["seconds"] for epoch in epochs), 2),
        "limit_seconds": round(len(epochs) * count_operations(network, data) / measure_matrix_products(), 3),
        "val_accuracy": fit.measure_accuracy(network, config, data.val, temperature),
        "test_accuracy": fit.measure_accuracy(network, config, test, temperature),
    }


def count_operations(network: "keras.Model", data: TrainingData) -> int:
    """Return the number of multiplications and additions in matrix products in one epoch, with its validation.

    In the backward pass, the gradient of a layer's weights costs as much as its forward pass, and so does that of its
    inputs; the first layer's inputs need none.
    """
    from pipeline.training.networks import list_members

    forward = []
    for layer in list_members(network)[0].layers:  # one member, because an epoch trains one
        if getattr(layer, "kernel", None) is not None:
            positions = int(np.prod(layer.output.shape[1:-1], dtype=int))
            forward.append(2 * int(np.prod(layer.kernel.shape)) * positions)
    return len(data.train.pixels) * (3 * sum(forward) - forward[0]) + len(data.val.pixels) * sum(forward)


def measure_matrix_products(size: int = 4096, times: int = 5) -> float:
    """Return the operations per second of TensorFlow's float32 matrix product: the best of some tries."""
    import tensorflow as tf

    matrix = tf.random.normal((size, size))
    seconds = []
    for _ in range(times + 1):
        start = time.perf_counter()
        tf.linalg.matmul(matrix, matrix).numpy()
        seconds.append(time.perf_counter() - start)
    return float(2 * size**3 / min(seconds))


def train_rival(name: str, seed: int, test: Split) -> Run:
    """Train a rival's network; its test accuracy is also measured after each epoch."""
    from pipeline.training import fit

    threads = load().threads
    fit.use_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # for PyTorch, which is imported below
    data = load_training_data(Workspace().prepared).train
    images, labels, tested = as_images(data), data.labels.astype(np.int64), as_images(test)
    import_module(RIVALS[name].package)
    seconds, epochs, clock = 0.0, [], time.perf_counter()

    def end_epoch(predict: Predict) -> None:
        nonlocal seconds, clock
        seconds += time.perf_counter() - clock
        accuracy = float((predict(tested).argmax(axis=1) == test.labels).mean())
        epochs.append({"seconds": round(seconds, 2), "test_accuracy": accuracy})
        clock = time.perf_counter()

    RIVALS[name].train(images, labels, seed, end_epoch)
    reached = next((epoch["seconds"] for epoch in epochs if epoch["test_accuracy"] >= GOAL), None)
    return {"epochs": len(epochs), "seconds_to_goal": reached, **epochs[-1], "by_epoch": epochs}


def as_images(split: Split) -> Images:
    """Return the images of a split, float32 [n, 28, 28] in [0, 1]."""
    return normalise(as_raw(split.pixels))


def describe_machine() -> dict[str, Any]:
    """Return the processor, its load, the packages and the date."""
    packages = {"python": platform.python_version()}
    for package in ("tensorflow", "keras", "numpy", "torch"):
        with suppress(PackageNotFoundError):
            packages[package] = version(package)
    return {
        "processor": name_processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "packages": packages,
        "date": date.today().isoformat(),
    }


def name_processor(path: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name with family and model: a rented machine's may be "AMD EPYC" for each generation."""
    lines = path.read_text().split("\n\n")[0].splitlines() if path.exists() else []
    entries = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    if not {"model name", "cpu family", "model"} <= entries.keys():
        return platform.processor() or platform.machine()
    return f"{entries['model name']} (family {entries['cpu family']}, model {entries['model']})"


def summarise(runs: list[Run]) -> list[dict[str, Any]]:
    """Return a row for each name, the fastest first."""
    rows = []
    for name in {run["name"]: None for run in runs}:
        own = [run for run in runs if run["name"] == name]
        accuracies = [100 * run["test_accuracy"] for run in own]
        limits = [run["seconds"] / run["limit_seconds"] for run in own if "limit_seconds" in run]
        to_goal = [run["seconds_to_goal"] for run in own if run.get("seconds_to_goal")]
        rows.append(
            {
                "name": name,
                "rival": name in RIVALS,
                "n": len(own),
                "epochs": own[0]["epochs"],
                "seconds": mean(run["seconds"] for run in own),
                "accuracy": mean(accuracies),
                "deviation": stdev(accuracies) if len(own) > 1 else None,
                "over_limit": mean(limits) if limits else None,
                "to_goal": mean(to_goal) if len(to_goal) == len(own) else None,
            }
        )
    return sorted(rows, key=lambda row: row["seconds"])


def group_by_processor(runs: list[Run]) -> dict[str, list[Run]]:
    """Return the runs of each processor, by its name."""
    names = dict.fromkeys(run["processor"] for run in runs)
    return {name: [run for run in runs if run["processor"] == name] for name in names}


def format_tables(runs: list[Run]) -> str:
    """Return a Markdown table for each processor."""
    return "\n\n".join(
        f"{own[0]['cores']} cores, {processor}:\n\n{format_table(own)}"
        for processor, own in group_by_processor(runs).items()
    )


def format_table(runs: list[Run]) -> str:
    """Return the Markdown table of all names."""
    lines = [
        f"| network | epochs | time of `fit` | over the limit | test accuracy | n | first epoch ≥ {GOAL:.1%} on test |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in summarise(runs):
        name = row["name"] if row["rival"] else f"**`{row['name']}`**"
        spread = f" ± {row['deviation']:.2f}" if row["deviation"] is not None else ""
        to_goal = f"{row['to_goal']:.0f} s" if row["to_goal"] else "not in each" if row["rival"] else ""
        limit = f"{row['over_limit']:.1f} ×" if row["over_limit"] else ""
        cells = (
            name,
            row["epochs"],
            f"{row['seconds']:.1f} s",
            limit,
            f"{row['accuracy']:.2f}{spread} %",
            row["n"],
            to_goal,
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def write_docs(results: dict[str, Any]) -> None:
    """Write the tables into docs/benchmarks.md, between their two marks, and the plot beside it."""
    page = DOCS / "benchmarks.md"
    before, mark, rest = page.read_text().partition("<!-- training: made by benchmarks.training -->\n")
    _, end, after = rest.partition("<!-- training: end -->")
    if not end:
        sys.exit("docs/benchmarks.md has no marks for the table of trainings")
    page.write_text(f"{before}{mark}\n{format_tables(results['runs'])}\n\n{end}{after}")
    draw(results["runs"], DOCS / "time-against-accuracy.svg")


def draw(runs: list[Run], path: Path) -> None:
    """Plot time against accuracy, both logarithmic: seconds of fit, and per cent of test images that are wrong."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    matplotlib.rcParams["svg.hashsalt"] = "time-against-accuracy"  # so that the same results give the same bytes
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, (processor, own) in enumerate(group_by_processor(runs).items()):
        marker = "os^D"[number % 4]
        # Two processors' results of one network lie close together: their names stand on two sides.
        side, offset = ("right", (-5, 4)) if number % 2 == 0 else ("left", (5, 4))
        axes.plot([], [], marker, color="black", label=processor)
        for row in summarise(own):
            place = row["seconds"], 100 - row["accuracy"]
            axes.plot(*place, marker, color="tab:grey" if row["rival"] else "tab:blue")
            axes.annotate(row["name"], place, xytext=offset, textcoords="offset points", fontsize=8, ha=side)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    axes.set(xscale="log", yscale="log", xlabel="seconds of fit on two cores", ylabel="wrong on test, %")
    axes.yaxis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.margins(x=0.15)
    axes.grid(alpha=0.3, which="both")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(train_one(sys.argv[2], int(sys.argv[3]))))
    else:
        main(*sys.argv[1:])
