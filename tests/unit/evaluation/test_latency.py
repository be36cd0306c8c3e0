import time

import pytest

from pipeline.evaluation.latency import median_latency_ms
from tests.helpers.networks import write_onnx


def test_it_is_the_median_in_milliseconds_after_a_warm_up(tmp_path, monkeypatch):
    write_onnx(tmp_path / "model.onnx", wrong=0)
    # Two slow runs of warm-up, then 1 to 18 ms: their median is 9.5 ms.
    durations = [5.0, 5.0, *(number / 1000 for number in range(1, 19))]
    clock = [moment for start, duration in enumerate(durations) for moment in (10 * start, 10 * start + duration)]
    monkeypatch.setattr(time, "perf_counter", iter(clock).__next__)
    assert median_latency_ms(tmp_path / "model.onnx", runs=20) == pytest.approx(9.5)


def test_300_runs_of_one_thread_are_measured(tmp_path, monkeypatch):
    import onnxruntime

    write_onnx(tmp_path / "model.onnx", wrong=0)
    seen = []

    class Session:
        def __init__(self, path, options) -> None:
            seen.append((path, options.intra_op_num_threads))

        def run(self, outputs, inputs) -> None:
            seen.append((outputs, inputs["pixels"].shape, str(inputs["pixels"].dtype)))

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    assert median_latency_ms(tmp_path / "model.onnx") > 0
    assert seen == [(tmp_path / "model.onnx", 1), *[(None, (1, 28, 28), "float32")] * 300]
