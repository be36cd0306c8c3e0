"""How long an exported model takes for one image, on the machine that asks."""

import time
from pathlib import Path

import numpy as np


def median_latency_ms(path: Path, runs: int = 300) -> float:
    """Return the median milliseconds of ONNX Runtime for one image, with one thread, after a warm-up of a tenth."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    image, seconds = np.zeros((1, 28, 28), np.float32), []
    for _ in range(runs):
        start = time.perf_counter()
        session.run(None, {"pixels": image})
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[runs // 10 :]) * 1000)
