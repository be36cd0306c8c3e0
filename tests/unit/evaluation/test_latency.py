import time
from types import SimpleNamespace

import pytest

from pipeline.evaluation.latency import measure_latencies_ms
from tests.helpers.networks import write_onnx


def test_each_round_has_its_median_in_milliseconds_and_the_fastest_is_first(tmp_path, monkeypatch):
    write_onnx(tmp_path / "model.onnx", wrong=0)
    # A slow warm-up run; then a round that another process disturbs, and a round in which it disturbs only a few runs.
    durations = [5.0, *(0.009 for _ in range(10)), *(number / 1000 for number in range(1, 10)), 4.0]
    clock = [moment for start, duration in enumerate(durations) for moment in (10 * start, 10 * start + duration)]
    monkeypatch.setattr(time, "perf_counter", iter(clock).__next__)
    assert measure_latencies_ms(tmp_path / "model.onnx", rounds=2, runs=10) == pytest.approx((5.5, 9.0))


def test_five_rounds_of_100_runs_of_one_thread_are_measured(tmp_path, monkeypatch):
    import onnxruntime

    write_onnx(tmp_path / "model.onnx", wrong=0)
    seen = []

    class Session:
        def __init__(self, path, options) -> None:
            seen.append((path, options.intra_op_num_threads))

        def get_inputs(self) -> list[SimpleNamespace]:
            return [SimpleNamespace(shape=["images", 8, 6, 3])]

        def run(self, outputs, inputs) -> None:
            seen.append((outputs, inputs["pixels"].shape, str(inputs["pixels"].dtype)))

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    measured = measure_latencies_ms(tmp_path / "model.onnx")
    assert len(measured) == 5
    assert list(measured) == sorted(measured)
    assert seen == [(tmp_path / "model.onnx", 1), *[(None, (1, 8, 6, 3), "float32")] * 510]
