"""How near is the batch tool to bare ONNX Runtime? Scores an .npy and the same images in memory, in turn.

Both run the same session (so the same threads) in the same slices; the bare one gets float32, so that it has nothing to
read, to convert, to check or to write. Prints images per second of both, pair by pair, and the ratio:

    python -m benchmarks.batch [model: models:/mnist@champion, or a folder] [images: 50000] [pairs: 7]
"""

import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from serving import batch
from serving.sources import open_source


def main(uri: str = "models:/mnist@champion", images: str = "50000", pairs: str = "7") -> None:
    model = batch.load(uri)
    from serving.model import SLICE  # with MLflow, which is to be set up first

    pixels = np.random.default_rng(0).integers(0, 256, (int(images), 28, 28), np.uint8)
    in_memory = pixels.astype(np.float32)

    def bare() -> None:
        for start in range(0, len(in_memory), SLICE):
            probabilities = model.session.run(None, {"pixels": in_memory[start : start + SLICE]})[0]
            probabilities.argmax(axis=1)

    def per_second(work) -> float:
        start = time.perf_counter()
        work()
        return len(pixels) / (time.perf_counter() - start)

    with TemporaryDirectory() as folder:
        source, output = Path(folder) / "images.npy", Path(folder) / "out.parquet"
        np.save(source, pixels)

        def tool() -> None:
            batch.score(open_source(source), model, output)

        bare(), tool()  # the first of each counts for neither
        ratios = []
        for pair in range(int(pairs)):
            first, second = (bare, tool) if pair % 2 else (tool, bare)
            speeds = {first: per_second(first), second: per_second(second)}
            ratios.append(speeds[tool] / speeds[bare])
            print(f"batch {speeds[tool]:,.0f} images/s, bare {speeds[bare]:,.0f}: {ratios[-1]:.3f}", flush=True)
    spread = f"from {min(ratios):.3f} to {max(ratios):.3f}"
    print(
        f"batch / bare ONNX Runtime, slices of {SLICE}: median {median(ratios):.3f}, {spread}, n = {len(ratios)} pairs"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
