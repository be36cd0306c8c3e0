"""Measure how much logging each epoch to MLflow costs a training: fit one preset with and without it in turn.

Prints for each pair the ratio of the seconds of `fit`, and the CPU seconds of the logging process while `fit` ran, as a
share of the CPU seconds of `fit`. On a busy machine the ratio is noise, the share isn't.

    python -m benchmarks.tracking_overhead [model] [pairs]
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from statistics import median, quantiles
from typing import Any

import psutil

from pipeline.config.params import load
from pipeline.data.prepared import load_training_data
from pipeline.paths import Workspace
from pipeline.tracking.live import LiveRun
from pipeline.training.fit import train_model, use_threads


def main(model: str = "dense_512", pairs: str = "10") -> None:
    """Print a line for each pair, and the medians."""
    params, data = load(), load_training_data(Workspace().prepared)
    use_threads(params.threads)
    block = params.model(model)
    made_of = {"model": model, "dataset": "benchmark", "data_sha256": "", "seed": params.seed, "seeds_per_model": 1}
    made_of["parameters"] = block.model_dump(mode="json")

    def fit(on_epoch: Callable[[dict[str, Any]], None] = lambda entry: None) -> tuple[float, float]:
        """Return the seconds of `fit`, and this process's CPU seconds over them."""
        before = cpu_seconds(psutil.Process())
        _, epochs = train_model(model, block, data, params.seed, on_epoch)
        return sum(epoch["seconds"] for epoch in epochs), cpu_seconds(psutil.Process()) - before

    def logged_fit() -> tuple[float, float]:
        """Return the seconds of `fit`, and the logging process's CPU seconds as a share of this one's."""
        with LiveRun(made_of, shown_after_s=0) as live:
            follower = psutil.Process(live._process.pid)
            before = when_idle(follower)  # in a training, its start is hidden by TensorFlow's import
            seconds, own = fit(live.send)
            return seconds, (cpu_seconds(follower) - before) / own

    store = tempfile.TemporaryDirectory()
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{store.name}/mlflow.db"
    fit()  # TensorFlow's import and its first run count for neither side
    ratios, shares = [], []
    for pair in range(int(pairs)):
        if pair % 2:  # alternate the order, so that a machine that speeds up favours neither
            (seconds, share), (without, _) = logged_fit(), fit()
        else:
            (without, _), (seconds, share) = fit(), logged_fit()
        ratios.append(seconds / without)
        shares.append(share)
        print(f"with / without: {ratios[-1]:.3f}   CPU of logging: {share:.2%} of fit's", flush=True)
    low, _, high = quantiles(ratios, n=4)
    print(
        f"{model}, {len(ratios)} pairs: ratio of fit times, median {median(ratios):.3f} (quartiles {low:.3f} to "
        f"{high:.3f}); CPU of logging, median {median(shares):.2%} of fit's, at most {max(shares):.2%}"
    )


def when_idle(process: psutil.Process) -> float:
    """Wait until a process has started and used no CPU for a second; return its CPU seconds so far."""
    before, now = -1.0, 0.0
    while now != before or now == 0:
        time.sleep(1)
        before, now = now, cpu_seconds(process)
    return now


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU seconds that a process has used."""
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    main(*sys.argv[1:])
