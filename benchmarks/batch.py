"""Compare the batch tool on an .npy file with bare ONNX Runtime on the same images in memory, in turn.

Bare means that the images are float32 in memory, and nothing is read, converted, checked or written. It is measured in
two ways: as the served model runs (slices of the same size, each in one thread, in parallel), and with ONNX Runtime's
default settings (slices of 100, one after the other, each in as many threads as ONNX Runtime chooses). Prints images
per second and the tool's ratio to each:

    python -m benchmarks.batch [model: models:/mnist@champion, or a folder] [images: 50000] [rounds: 7]
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from serving.batch.formats import open_source
from serving.batch.scoring import load_model, score

if TYPE_CHECKING:
    import onnxruntime


def main(uri: str = "models:/mnist@champion", images: str = "50000", rounds: str = "7") -> None:
    """Print a line for each round, and the ratio of the tool's speed to that of each bare way."""
    loaded = load_model(uri)
    model = loaded.model
    stock = stock_session(uri)
    from serving.model import SLICE_PIXELS  # it imports MLflow, which load_model sets up first

    pixels = np.random.default_rng(0).integers(0, 256, (int(images), *model.shape), np.uint8)
    size = max(1, SLICE_PIXELS // (loaded.form.height * loaded.form.width))
    in_memory = pixels.astype(np.float32)

    def slices(size: int) -> list[np.ndarray]:
        return [in_memory[start : start + size] for start in range(0, len(in_memory), size)]

    with TemporaryDirectory() as folder:
        source, output = Path(folder) / "images.npy", Path(folder) / "out.parquet"
        np.save(source, pixels)
        tasks: dict[str, Callable[[], object]] = {
            "batch": lambda: score(open_source(source, loaded.form, model.max_images), model, output),
            f"bare, slices of {size} side by side": lambda: list(
                model.threads.map(lambda some: infer(model.session, some), slices(size))
            ),
            "bare, own settings": lambda: [infer(stock, some) for some in slices(100)],
        }
        speeds = measure(tasks, len(pixels), int(rounds))
    for name, (tool, bare) in {name: (speeds["batch"], speeds[name]) for name in tasks if name != "batch"}.items():
        ratios = [mine / other for mine, other in zip(tool, bare, strict=True)]
        spread = f"from {min(ratios):.3f} to {max(ratios):.3f}"
        print(f"batch / {name}: median {median(ratios):.3f}, {spread}, n = {len(ratios)}")


def stock_session(uri: str) -> "onnxruntime.InferenceSession":
    """Return the model's network in a session with ONNX Runtime's default settings."""
    import mlflow
    import onnxruntime
    from mlflow.models import Model

    folder = mlflow.artifacts.download_artifacts(uri)
    file = Model.load(folder).flavors["python_function"]["artifacts"]["onnx"]["path"]
    return onnxruntime.InferenceSession(Path(folder) / file, providers=["CPUExecutionProvider"])


def infer(session: "onnxruntime.InferenceSession", pixels: np.ndarray) -> np.ndarray:
    """Return the classes of float32 [n, *shape]."""
    classes: np.ndarray = session.run(None, {"pixels": pixels})[0].argmax(axis=1)
    return classes


def measure(tasks: dict[str, Callable[[], object]], images: int, rounds: int) -> dict[str, list[float]]:
    """Return the images per second of each task, round by round; in each round another task is the first."""
    speeds: dict[str, list[float]] = {name: [] for name in tasks}
    names = list(tasks)
    for number in range(-1, rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = time.perf_counter()
            tasks[name]()
            speeds[name].append(images / (time.perf_counter() - start))
        if number >= 0:  # the first round warms up
            print(", ".join(f"{name} {speed[-1]:,.0f} images/s" for name, speed in speeds.items()), flush=True)
    return {name: speed[1:] for name, speed in speeds.items()}


if __name__ == "__main__":
    main(*sys.argv[1:])
