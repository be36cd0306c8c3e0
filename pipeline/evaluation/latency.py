"""Measure how long an exported model takes for one image, on this machine."""

import time
from pathlib import Path

import numpy as np


def measure_latencies_ms(path: Path, rounds: int = 5, runs: int = 100) -> tuple[float, ...]:
    """Return the median milliseconds of ONNX Runtime for one image in each of several rounds, the fastest first.

    Use one thread, after a warm-up of a tenth of a round. Other processes only make a round slower, so the fastest
    round describes the model best, and the range of all shows how quiet the machine was.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    image = np.zeros((1, *session.get_inputs()[0].shape[1:]), np.float32)

    def time_run() -> float:
        start = time.perf_counter()
        session.run(None, {"pixels": image})
        return time.perf_counter() - start

    for _ in range(runs // 10):
        time_run()
    return tuple(sorted(float(np.median([time_run() for _ in range(runs)])) * 1000 for _ in range(rounds)))
