"""Run the pipeline on millions of images, made from MNIST by small deformations, and compare the cost with 60,000.

    python -m benchmarks.many_images FOLDER [images: 8100000] [steps: make preprocess train million evaluate batch]

FOLDER gets a workspace for each number of images, with about 1.6 kB of disk per image. data/raw of the project must
hold MNIST (`make run`). Each step prints, for each number of images, wall-clock and CPU seconds per million images,
start-up included, and the peak of memory (VmHWM, which counts the pages of mapped files that are in use).

    make        train-images-idx3-ubyte with that many images: smooth displacement fields, as in infinite MNIST
    preprocess  the stage, from the IDX files to data/prepared
    train       one epoch of dense_512 (for 60,000 images, the last of three); then the stages evaluate and register
    million     one epoch of cnn_fast on a million images, compared with the last of three on 60,000
    evaluate    the stage for dense_512, with the training images as its test images
    batch       the batch tool on the IDX file
"""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML
from scipy import sparse
from scipy.ndimage import gaussian_filter

from pipeline.data.idx import read_idx, read_labels

PROJECT = Path(__file__).parent.parent
BASE, MILLION = 60_000, 1_000_000
TOGETHER = 1000  # images that one displacement field deforms
SIDE = 28
SOFTNESS, REACH = 4.0, 24.0  # of displacements, in pixels: Simard, Steinkraus and Platt 2003
ANGLE, ZOOM, SHIFT = 10.0, 0.1, 1.5  # largest; degrees, share, pixels
STEPS = ("make", "preprocess", "train", "million", "evaluate", "batch")
# The process itself reads its peak of memory at its end: the ru_maxrss of a child begins with its parent's.
MEASURED = """
import runpy, sys
from pathlib import Path
del sys.argv[0]
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
finally:
    Path("status.txt").write_text(Path("/proc/self/status").read_text())
"""


@dataclass(frozen=True)
class Cost:
    """What a command cost: wall-clock seconds, CPU seconds, and its peak of memory in bytes."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def main(folder: str, *words: str) -> None:
    """Run the steps, in their order, and print what each cost."""
    images = int(words[0]) if words and words[0].isdecimal() else 8_100_000
    steps = [word for word in words if not word.isdecimal()] or list(STEPS)
    workspaces = {size: Path(folder).resolve() / str(size) for size in sorted({BASE, MILLION, images})}
    small, large = workspaces[BASE], workspaces[images]
    for step in (step for step in STEPS if step in steps):
        if step == "make":
            for size, workspace in workspaces.items():
                start = time.perf_counter()
                make(workspace, size)
                print(f"make {size:,}: {time.perf_counter() - start:.0f} s", flush=True)
        elif step == "preprocess":
            costs = {size: run(path, "pipeline.preprocess") for size, path in workspaces.items()}
            report(step, costs)
        elif step in ("train", "million"):
            model, size = ("dense_512", images) if step == "train" else ("cnn_fast", MILLION)
            costs = {size: train(path, model) for size, path in ((BASE, small), (size, workspaces[size]))}
            report(f"{step}, {model}", costs)
            if step == "train":
                for stage in (["pipeline.evaluate", model], ["pipeline.register"]):
                    run(small, *stage)
        elif step == "evaluate":
            report(step, {size: evaluate(workspaces[size], small) for size in (BASE, images)})
        else:
            report(step, {size: score(workspaces[size], small) for size in (BASE, images)})
    print(f"load of the machine: {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores; workspace of all: {large}")


def report(step: str, costs: dict[int, Cost]) -> None:
    """Print a line for each number of images, with the ratios of its times per image to those of the first number."""
    base_images, base = next(iter(costs.items()))
    for images, cost in costs.items():
        ratios = [
            own / images / (other / base_images)
            for own, other in ((cost.seconds, base.seconds), (cost.cpu_seconds, base.cpu_seconds))
        ]
        print(
            f"{step}, {images:,} images: {cost.seconds / images * 1e6:,.1f} s per million, processor "
            f"{cost.cpu_seconds / images * 1e6:,.1f} s; ratios {ratios[0]:.2f} and {ratios[1]:.2f}; "
            f"peak {cost.peak_bytes / 2**30:.2f} GiB",
            flush=True,
        )


def make(workspace: Path, images: int) -> None:
    """Write data/raw and params.yaml of a workspace: `images` training images, and MNIST's own test images."""
    raw = workspace / "data" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    source = PROJECT / "data" / "raw"
    for path in source.glob("t10k-*"):
        shutil.copy(path, raw)
    originals = np.concatenate(list(read_idx(source, "train-images-idx3-ubyte", (SIDE, SIDE))))
    labels = read_labels(source, "train")
    with (raw / "train-labels-idx1-ubyte").open("wb") as file:
        file.write(bytes((0, 0, 8, 1)) + images.to_bytes(4) + np.resize(labels, images).tobytes())
    with (raw / "train-images-idx3-ubyte").open("wb") as file:
        file.write(bytes((0, 0, 8, 3)) + b"".join(size.to_bytes(4) for size in (images, SIDE, SIDE)))
        for start in range(0, images, TOGETHER):
            places = np.arange(start, min(start + TOGETHER, images)) % len(originals)
            # The seed makes the first images the same, however many follow.
            file.write(deform(originals[places], np.random.default_rng([0, start])).tobytes())
    params = YAML().load(PROJECT / "params.yaml")
    params.update(dataset="mnist", presets=["dense_512"], seeds_per_model=1)
    for model in ("dense_512", "cnn_fast"):
        params["models"][model]["epochs"] = 3 if images == BASE else 1  # the first epoch builds the graph
    YAML().dump(params, workspace / "params.yaml")
    for name in ("serving", "requirements.lock", "dvc.yaml"):  # which register reads
        (workspace / name).unlink(missing_ok=True)
        (workspace / name).symlink_to(PROJECT / name)


def deform(images: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Rotate, zoom, shift and bend images [n, 28, 28], all by one smooth field, with linear interpolation."""
    bend = REACH * gaussian_filter(random.uniform(-1, 1, (2, SIDE, SIDE)), (0, SOFTNESS, SOFTNESS))
    angle, zoom = np.radians(random.uniform(-ANGLE, ANGLE)), 1 + random.uniform(-ZOOM, ZOOM)
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centred = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    places = np.tensordot(turn, centred, 1) + bend + random.uniform(-SHIFT, SHIFT, (2, 1, 1)) + (SIDE - 1) / 2
    places = np.clip(places, 0, SIDE - 1.001).reshape(2, -1)
    whole = places.astype(int)
    part = places - whole
    corners = [(dy, dx) for dy in (0, 1) for dx in (0, 1)]
    columns = np.stack([(whole[0] + dy) * SIDE + whole[1] + dx for dy, dx in corners], axis=1)
    weights = np.stack([np.abs(1 - dy - part[0]) * np.abs(1 - dx - part[1]) for dy, dx in corners], axis=1)
    rows = np.arange(0, columns.size + 1, len(corners))
    field = sparse.csr_matrix((weights.ravel().astype(np.float32), columns.ravel(), rows), (SIDE**2, SIDE**2))
    moved: NDArray[np.float32] = field @ images.reshape(len(images), -1).T.astype(np.float32)
    return np.rint(moved).astype(np.uint8).T.reshape(images.shape)


def run(workspace: Path, *command: str) -> Cost:
    """Run a module of the project in the workspace; return its cost. Its output goes to output.txt there."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "DVC_ROOT": str(workspace), "MLFLOW_TRACKING_URI": ""}
    start = time.perf_counter()
    with (workspace / "output.txt").open("a") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", MEASURED, *command], cwd=workspace, env=environment, stdout=output, stderr=output
        )
        _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        sys.exit(f"{' '.join(command)} failed: {workspace / 'output.txt'} says why")
    (peak,) = (line for line in (workspace / "status.txt").read_text().splitlines() if line.startswith("VmHWM"))
    return Cost(seconds, used.ru_utime + used.ru_stime, int(peak.split()[1]) * 1024)


def train(workspace: Path, model: str) -> Cost:
    """Train a model by its stage; return the last epoch's seconds, CPU seconds per epoch, and the peak of memory."""
    cost = run(workspace, "pipeline.train", model)
    epochs = json.loads((workspace / "models" / model / "receipt.json").read_text())["epochs"]
    return Cost(epochs[-1]["seconds"], cost.cpu_seconds / len(epochs), cost.peak_bytes)


def evaluate(workspace: Path, trained: Path) -> Cost:
    """Evaluate the model of `trained` on the training images of `workspace`, in a workspace of links beside it."""
    linked = workspace.with_name(f"{workspace.name}-evaluate")
    shutil.rmtree(linked, ignore_errors=True)
    (linked / "data" / "prepared").mkdir(parents=True)
    prepared = workspace / "data" / "prepared"
    for name, target in {"val": prepared / "val", "test": prepared / "train"}.items():
        (linked / "data" / "prepared" / name).symlink_to(target)
    shutil.copy(prepared / "dataset.json", linked / "data" / "prepared")
    shutil.copy(workspace / "params.yaml", linked)
    (linked / "models").symlink_to(trained / "models")
    return run(linked, "pipeline.evaluate", "dense_512")


def score(workspace: Path, registered: Path) -> Cost:
    """Score the IDX file of `workspace` with the champion of `registered`."""
    output = next(path for number in count() if not (path := workspace / f"scored-{number}.parquet").exists())
    images = workspace / "data" / "raw" / "train-images-idx3-ubyte"
    return run(registered, "serving.batch", str(images), str(output), "--model", "models:/mnist@champion")


if __name__ == "__main__":
    main(*sys.argv[1:])
