"""Measure latency, memory and stability of serving: serve one network in six ways and print the tables.

All servers run at once and take turns, so that other work of the machine affects all of them equally. The network is
the champion's: the registered version on MLflow's server and in the app, and the same network in MLflow's own flavors.

    python -m benchmarks.serving [rounds]
"""

import json
import os
import platform
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path
from statistics import median, quantiles

import numpy as np

from benchmarks.servers import DEFAULT, GRAPH, NOTHING, OURS, Server, save_flavors, start_app, start_mlflow
from pipeline.files import read_json
from pipeline.tracking.store import connect

APP = "the app"
JSON, RAW = "application/json", "application/octet-stream"
REQUESTS_PER_TURN = 20  # to one server, before the next server's turn
CLIENTS, LOAD_S = 8, 30

# Server, path, body and content type of a request.
Question = tuple[Server, str, bytes, str]


def main(rounds: str = "15") -> None:
    """Print both tables."""
    dataset = read_json(Path("registry/registry.json"))["name"]
    store, champion = connect(dataset), f"models:/{dataset}@champion"
    name = store.version(store.aliases()["champion"]).tags["model"]
    images = np.load("data/prepared/test/images.npy", mmap_mode="r")[:100, ..., 0]
    # macOS has no affinity.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{name}, {cores} cores, {platform.machine()}, Python {platform.python_version()}, {date.today()}\n")
    with tempfile.TemporaryDirectory() as folder:
        flavors = save_flavors(name, champion, Path(folder))
        servers: dict[str, Server] = {}
        try:
            for label, place in flavors.items():
                servers[label] = start_mlflow(place, Path(folder) / f"{len(servers)}.log")
            servers[APP] = start_app(champion, Path(folder) / "app.log")
            print_latencies(servers, images, int(rounds))
            print_load(servers[APP], images[0].astype(np.uint8).tobytes())
        finally:
            for server in servers.values():
                server.stop()


def print_latencies(servers: dict[str, Server], images: np.ndarray, rounds: int) -> None:
    """Print a row for each server: milliseconds of 1 and of 100 images, memory after that, seconds until ready."""
    questions: dict[str, Question] = {}
    for label, server in servers.items():
        for n in (1, 100):
            pixels = images[:n, ..., None] if is_stock(label) else images[:n]
            body = json.dumps({"inputs": pixels.astype(int).tolist()}).encode()
            questions[f"{label}, {n}"] = (server, "/invocations", body, JSON)
    for n in (1, 100):
        questions[f"raw, {n}"] = (servers[APP], "/predict", images[:n].astype(np.uint8).tobytes(), RAW)
    times = measure_in_turn(questions, rounds)

    def row(label: str, name: str, memory: str = "", ready: str = "") -> None:
        single, batch = times[f"{label}, 1"], times[f"{label}, 100"]
        print(
            f"| {name} | {median(single):.2f} ms | {p99(single):.1f} ms | {median(batch):.1f} ms | {memory} | {ready} |"
        )

    print("| served by | 1 image, median | p99 | 100 images, median | memory | ready after |")
    print("|---|---:|---:|---:|---:|---:|")
    for label, server in servers.items():
        row(label, label, f"{server.memory_bytes() / 1e6:.0f} MB", f"{server.seconds_to_ready:.1f} s")
    row("raw", "the app, raw bytes to /predict")
    print(f"\nn = {len(times['raw, 1'])} requests of one image, {len(times['raw, 100'])} of 100\n")

    one, hundred = ({label: median(times[f"{label}, {n}"]) for label in (*servers, "raw")} for n in (1, 100))
    stock = min(hundred[label] for label in servers if is_stock(label))
    ready = {label: server.seconds_to_ready for label, server in servers.items()}
    ratios = {
        "1 image: the default flavor / ours": one[DEFAULT] / one[OURS],
        "1 image: ours / does nothing": one[OURS] / one[NOTHING],
        "1 image: the app, raw bytes / does nothing": one["raw"] / one[NOTHING],
        "100 images: the fastest stock flavor of the usual network / ours": stock / hundred[OURS],
        "100 images: the same / the app, same JSON": stock / hundred[APP],
        "100 images: the same / the app, raw bytes": stock / hundred["raw"],
        "100 images: MLflow's ONNX flavor with our graph / ours": hundred[GRAPH] / hundred[OURS],
        "ready: ours / the default flavor": ready[OURS] / ready[DEFAULT],
        "ready: the app / the default flavor": ready[APP] / ready[DEFAULT],
    }
    for what, ratio in ratios.items():
        print(f"{ratio:8.2f}  {what}")


def is_stock(label: str) -> bool:
    """Return whether a server has an MLflow flavor of the network as introductions build it, for images [28, 28, 1]."""
    return label.startswith("mlflow.") and label != GRAPH


def measure_in_turn(questions: dict[str, Question], rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of each request in `questions`, sent in turn; the first round warms up."""
    times: dict[str, list[float]] = {label: [] for label in questions}
    for turn in range(rounds + 1):
        for label, (server, path, body, kind) in questions.items():
            connection = server.connect()  # a new one each time, because a server closes idle ones
            server.post(connection, path, body, kind)
            for _ in range(REQUESTS_PER_TURN // 5 if label.endswith("100") else REQUESTS_PER_TURN):
                start = time.perf_counter()
                server.post(connection, path, body, kind)
                if turn:
                    times[label].append((time.perf_counter() - start) * 1000)
            connection.close()
    return times


def print_load(server: Server, body: bytes) -> None:
    """Print speed, latencies and errors with CLIENTS clients at once, and how the server's memory changes."""
    latencies: list[list[float]] = [[] for _ in range(CLIENTS)]
    failures: list[str] = []
    end = time.perf_counter() + LOAD_S

    def client(mine: list[float]) -> None:
        connection = server.connect()
        while (start := time.perf_counter()) < end:
            try:
                server.post(connection, "/predict", body, RAW)
            except (OSError, RuntimeError) as error:
                failures.append(str(error))
                connection = server.connect()
            mine.append((time.perf_counter() - start) * 1000)

    threads = [threading.Thread(target=client, args=(mine,)) for mine in latencies]
    for thread in threads:
        thread.start()
    memory = []
    while time.perf_counter() < end:
        memory.append((time.perf_counter(), server.memory_bytes()))
        time.sleep(0.1)
    for thread in threads:
        thread.join()
    everything = [value for mine in latencies for value in mine]
    began = memory[0][0]
    first = np.mean([value for moment, value in memory if moment < began + 5])
    last = np.mean([value for moment, value in memory if moment >= end - 5])
    half, most = median(everything), p99(everything)
    print(f"{CLIENTS} clients for {LOAD_S} s: {len(everything) / LOAD_S:.0f} images/s, {len(failures)} errors")
    print(f"p50 {half:.1f} ms, p99 {most:.1f} ms ({most / half:.1f} times)")
    print(f"memory {first / 1e6:.0f} to {last / 1e6:.0f} MB ({last / first - 1:+.1%})")
    for failure in sorted(set(failures))[:5]:
        print(f"  {failure}")


def p99(values: list[float]) -> float:
    """Return the 99th percentile."""
    return quantiles(values, n=100)[98]


if __name__ == "__main__":
    main(*sys.argv[1:])
