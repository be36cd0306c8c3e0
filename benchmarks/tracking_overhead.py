"""What does logging each epoch to MLflow cost a training? Fits one preset in turn with and without, in one process.

Prints the seconds of `fit` and their ratio, pair by pair: python -m benchmarks.tracking_overhead [model] [pairs]
"""

import sys
import time
from statistics import median

from pipeline.live import LiveRun
from pipeline.params import load
from pipeline.stage import read_json
from pipeline.train import PREPARED, trained


def main(model: str = "dense_512", pairs: str = "5") -> None:
    params, dataset = load(), read_json(PREPARED / "dataset.json")
    block = params.model(model)
    made_of = {
        "model": f"benchmark {model}",
        "dataset": "benchmark",
        "seed": 0,
        "parameters": block.model_dump(mode="json"),
    }

    def seconds(on_epoch=lambda entry: None) -> float:
        _, epochs = trained(model, block, dataset["classes"], params.seed, on_epoch)
        return sum(epoch["seconds"] for epoch in epochs)

    seconds()  # TensorFlow's import and its first run count for neither side
    ratios = []
    for _ in range(int(pairs)):
        without = seconds()
        with LiveRun(made_of) as live:
            time.sleep(3)  # the follower's start is beside the fit in a real training too: TensorFlow is imported then
            ratios.append(seconds(live.send) / without)
        print(f"with / without: {ratios[-1]:.3f}", flush=True)
    print(f"{model}: median of {len(ratios)} pairs {median(ratios):.3f}, from {min(ratios):.3f} to {max(ratios):.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
