"""How near is the batch tool to bare ONNX Runtime? Scores an .npy, and the same images in memory, in turn.

Bare is what has float32 in memory, and nothing to read, to convert, to check or to write. It comes in two ways: as the
served model runs (slices of the same size, each in one thread, side by side), and as ONNX Runtime comes (slices of 100,
one after the other, each in as many threads as it likes). Prints images per second and the tool's ratio to each:

    python -m benchmarks.batch [model: models:/mnist@champion, or a folder] [images: 50000] [rounds: 7]
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from serving.batch import __main__ as batch
from serving.batch.sources import open_source


def main(uri: str = "models:/mnist@champion", images: str = "50000", rounds: str = "7") -> None:
    model = batch.load(uri)
    stock = stock_session(uri)
    from serving.model import SLICE  # with MLflow, which is to be set up first

    pixels = np.random.default_rng(0).integers(0, 256, (int(images), 28, 28), np.uint8)
    in_memory = pixels.astype(np.float32)

    def slices(size: int) -> list[np.ndarray]:
        return [in_memory[start : start + size] for start in range(0, len(in_memory), size)]

    with TemporaryDirectory() as folder:
        source, output = Path(folder) / "images.npy", Path(folder) / "out.parquet"
        np.save(source, pixels)
        works = {
            "batch": lambda: batch.score(open_source(source), model, output),
            f"bare, slices of {SLICE} side by side": lambda: list(
                model.threads.map(lambda some: answers(model.session, some), slices(SLICE))
            ),
            "bare, as it comes": lambda: [answers(stock, some) for some in slices(100)],
        }
        speeds = measured(works, len(pixels), int(rounds))
    for name, (tool, bare) in {name: (speeds["batch"], speeds[name]) for name in works if name != "batch"}.items():
        ratios = [mine / other for mine, other in zip(tool, bare, strict=True)]
        spread = f"from {min(ratios):.3f} to {max(ratios):.3f}"
        print(f"batch / {name}: median {median(ratios):.3f}, {spread}, n = {len(ratios)}")


def stock_session(uri: str):
    """The model's network in a session with ONNX Runtime's own settings."""
    import mlflow
    import onnxruntime
    from mlflow.models import Model

    folder = mlflow.artifacts.download_artifacts(uri)
    file = Model.load(folder).flavors["python_function"]["artifacts"]["onnx"]["path"]
    return onnxruntime.InferenceSession(Path(folder) / file, providers=["CPUExecutionProvider"])


def answers(session, pixels: np.ndarray) -> np.ndarray:
    return session.run(None, {"pixels": pixels})[0].argmax(axis=1)


def measured(works: dict[str, Callable[[], object]], images: int, rounds: int) -> dict[str, list[float]]:
    """Images per second of each, round by round; in each round another one begins."""
    speeds: dict[str, list[float]] = {name: [] for name in works}
    names = list(works)
    for number in range(-1, rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = time.perf_counter()
            works[name]()
            speeds[name].append(images / (time.perf_counter() - start))
        if number >= 0:  # the first round warms up
            print(", ".join(f"{name} {speed[-1]:,.0f} images/s" for name, speed in speeds.items()), flush=True)
    return {name: speed[1:] for name, speed in speeds.items()}


if __name__ == "__main__":
    main(*sys.argv[1:])
