"""Score shards on Ray and on Spark, with and without kills, and compare with `serving.batch` and bare ONNX Runtime.

    python -m benchmarks.batch_engines FOLDER MODEL here ray spark

Measures the engines that are named. FOLDER gets 48 Parquet files of 10,000 images each, MNIST's test images moved by a
few pixels (the project's data/raw must hold MNIST), and a folder of links to 12 of the files. MODEL is like
models:/mnist/3. Ray and Spark are installed from requirements-ray.lock and requirements-spark.lock, in .venv or in a
folder on PYTHONPATH.

Prints for each engine the CPU seconds of all its processes on 12 and on 48 files; their difference per image, which
leaves out the start; and its ratio to bare ONNX Runtime: pixels in memory, one thread, the served model's slices. Then
a process that scores is killed, the command is killed and run again, and a process is killed once more. After that each
image must have exactly one answer, the same as by `serving.batch` without an engine.
"""

import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
import pyarrow as pa
from pyarrow import parquet

from pipeline.data.idx import read_idx
from serving.batch.scoring import load_model

PROJECT = Path(__file__).parent.parent
SHARDS, FEW, IMAGES = 48, 12, 10_000
# Numbers of answer files, finished or not, at which something is killed; Spark writes 16 files, and starts again at 0.
KILLS, KILLS_AGAIN = (6, 12), {"ray": (18,), "spark": (9,)}
POLL_S = 0.25
COMMANDS = {
    "here": ("serving.batch", "{source}", "{output}", "--model", "{model}"),
    "ray": ("serving.batch", "{source}", "{output}", "--model", "{model}", "--engine", "ray"),
    "spark": ("benchmarks.batch_spark", "{source}", "{output}", "{model}"),
}
Labels = npt.NDArray[np.object_]
SCORERS = {"ray": "MapWorker", "spark": "pyspark.daemon"}  # in the command line of a process that scores


def main(folder: str, model: str, *engines: str) -> None:
    """Measure the engines, one after the other, and compare their answers."""
    many, few = make_shards(Path(folder).resolve())
    bare = measure_bare(many, model)
    print(f"bare ONNX Runtime, one thread: {bare * 1e6:.1f} µs of the processor per image", flush=True)
    if not (truth := many.parent / "here").exists():
        run("here", many, truth, model)
    labels = compare("here", truth, None)
    for engine in engines:
        costs = []
        for source in (few, many):
            output = many.parent / f"{engine}-{source.name}"
            shutil.rmtree(output, ignore_errors=True)
            start = time.perf_counter()
            costs.append(run(engine, source, output, model))
            seconds = time.perf_counter() - start
            print(f"{engine}, {source.name}: {costs[-1]:.1f} s of the processor, {seconds:.1f} s", flush=True)
        margin = (costs[1] - costs[0]) / ((SHARDS - FEW) * IMAGES)
        print(f"{engine}: {margin * 1e6:.1f} µs per image at the margin, {margin / bare:.2f} × bare", flush=True)
        compare(engine, output, labels)
        if engine != "here":
            output = many.parent / f"{engine}-killed"
            shutil.rmtree(output, ignore_errors=True)
            run(engine, many, output, model, KILLS, ends=True)
            run(engine, many, output, model, KILLS_AGAIN[engine])
            compare(f"{engine}, killed", output, labels)


def make_shards(folder: Path) -> tuple[Path, Path]:
    """Write the shards; return the folder of all, and one with links to a few of them."""
    many, few = folder / str(SHARDS), folder / str(FEW)
    for made in (many, few):
        made.mkdir(parents=True, exist_ok=True)
    images = np.concatenate(list(read_idx(PROJECT / "data/raw", "t10k-images-idx3-ubyte", (28, 28))))[:IMAGES]
    for number in range(SHARDS):
        file = many / f"{number:02}.parquet"
        moved = np.roll(images, (number % 7 - 3, number // 7 - 3), axis=(1, 2))
        ids = np.arange(number * IMAGES, (number + 1) * IMAGES)
        parquet.write_table(pa.table({"id": ids, "pixels": [image.tobytes() for image in moved]}), file)
        if number < FEW and not (few / file.name).exists():
            (few / file.name).hardlink_to(file)
    return many, few


def measure_bare(folder: Path, uri: str) -> float:
    """Return the CPU seconds per image of ONNX Runtime alone: the best of three shards."""
    model = load_model(uri).model
    from serving.model import SLICE_PIXELS  # it imports MLflow, which load_model sets up first

    size = SLICE_PIXELS // (28 * 28)
    costs = []
    for file in sorted(folder.iterdir())[:3]:
        content = b"".join(parquet.read_table(file)["pixels"].to_pylist())
        pixels = np.frombuffer(content, np.uint8).reshape(-1, *model.shape).astype(np.float32)
        start = time.process_time()
        for first in range(0, len(pixels), size):
            model.session.run(None, {"pixels": pixels[first : first + size]})
        costs.append((time.process_time() - start) / len(pixels))
    return min(costs)


def run(engine: str, source: Path, output: Path, model: str, kills: Sequence[int] = (), ends: bool = False) -> float:
    """Score a folder; return the CPU seconds of all processes, as they were last seen before each process ended.

    Kills a process that scores whenever the number of answer files reaches the next one in `kills`. If `ends`, the last
    kill is of the command instead.
    """
    words = [word.format(source=source, output=output, model=model) for word in COMMANDS[engine]]
    left, seconds = list(kills), dict[psutil.Process, float]()
    with (output.parent / f"{engine}.log").open("a") as log:
        driver = psutil.Popen([sys.executable, "-m", *words], cwd=PROJECT, stdout=log, stderr=log)
        while driver.poll() is None:
            for process in (driver, *list_descendants(driver)):
                with suppress(psutil.Error):
                    seconds[process] = sum(process.cpu_times()[:2])
            if left and sum(1 for _ in output.rglob("[!.]*.parquet")) >= left[0]:
                victim = driver if ends and len(left) == 1 else find_scorer(driver, SCORERS[engine])
                if victim:
                    print(f"killed: {victim.cmdline()[0].strip()}", flush=True)
                    victim.kill()
                    left.pop(0)
            time.sleep(POLL_S)
        psutil.wait_procs([process for process in seconds if process.pid != driver.pid], 60)
    if left or bool(driver.returncode) != ends:
        sys.exit(f"{engine} ended with {driver.returncode}, {len(left)} kills left: {log.name} says why")
    return sum(seconds.values())


def list_descendants(process: psutil.Process) -> list[psutil.Process]:
    """Return all processes below this one; none if it has ended."""
    with suppress(psutil.NoSuchProcess):
        return list(process.children(recursive=True))
    return []


def find_scorer(driver: psutil.Process, name: str) -> psutil.Process | None:
    """Return the driver's descendant with `name` in its command line and the most CPU seconds; None without one."""
    scorers = {}
    for process in list_descendants(driver):
        with suppress(psutil.Error):
            if name in " ".join(process.cmdline()):
                scorers[process] = sum(process.cpu_times()[:2])
    return max(scorers, key=scorers.__getitem__, default=None)


def compare(name: str, output: Path, expected: Labels | None) -> Labels:
    """Return the labels in the order of the images; exit unless each image has exactly one answer, the expected one."""
    tables = {file: parquet.read_table(file) for file in sorted(output.glob("*.parquet"))}
    ids = np.concatenate(
        [
            table["id"] if "id" in table.column_names else table["row"].to_numpy() + int(file.stem) * IMAGES
            for file, table in tables.items()
        ]
    )
    labels: Labels = np.concatenate([table["label"] for table in tables.values()])[np.argsort(ids)]
    once = np.array_equal(np.sort(ids), np.arange(SHARDS * IMAGES))
    same = expected is None or np.array_equal(labels, expected)
    print(f"{name}: {len(ids):,} answers, each image once: {once}, labels equal: {same}", flush=True)
    if not (once and same):
        sys.exit(f"{output} isn't as expected")
    return labels


if __name__ == "__main__":
    main(*sys.argv[1:])
