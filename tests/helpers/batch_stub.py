"""A quick model for the tests of the batch tool; as a program, this module makes runs that need their own process."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mlflow.exceptions import MlflowException

from serving.batch import __main__ as command_line
from serving.batch.scoring import score
from tests.helpers.batch_inputs import open_source


class Stub:
    """A model that answers each image's first pixel modulo ten, and counts in `asked` the images that it has scored."""

    def __init__(self, sha256: str = "network"):
        self.sha256, self.asked, self.class_names = sha256, 0, [f"class {number}" for number in range(10)]

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        if not 0 <= pixels.min() <= pixels.max() <= 255:
            raise MlflowException("a value outside")
        self.asked += len(pixels)
        return np.eye(10, dtype=np.float32)[pixels[:, 0, 0].astype(int) % 10] * np.float32(0.75)


class Stopped(Stub):
    """Sends its process a signal when it is asked for more than 2,000 images."""

    def __init__(self, name: str):
        super().__init__()
        self.signal = signal.Signals[name]

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        if self.asked == 2000:
            os.kill(os.getpid(), self.signal)
        return super().probabilities(pixels)


class Meddling(Stub):
    """Calls `meddle`, which changes something in the run's environment, when it has answered `after` images."""

    def __init__(self, meddle: Callable[[], object], after: int = 2000):
        super().__init__()
        self.meddle, self.after = meddle, after

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        answers = super().probabilities(pixels)
        if self.asked == self.after:
            self.meddle()
        return answers


class Failing(Stub):
    """Fails when it is asked for more than 2,000 images."""

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        if self.asked == 2000:
            raise OSError("no space left on device")
        return super().probabilities(pixels)


def stopped(name: str, source: str, output: str) -> None:
    """Run the batch tool's command line, which a signal stops in its third shard of 1,000 images."""
    command_line.run = lambda source, output, uri, engine: score(open_source(source), Stopped(name), output, 1000)
    sys.argv = ["batch", source, output]
    command_line.main()


def memory(file: str, count: str) -> None:
    """Score an .npy file of `count` images, and print the peak of resident memory, in KiB."""
    np.lib.format.open_memmap(file, "w+", np.uint8, (int(count), 28, 28))[0] = 255
    score(open_source(Path(file)), Stub(), Path(f"{file}.parquet"))
    # Not ru_maxrss: a process begins with its parent's.
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(peak.split()[1])


if __name__ == "__main__":
    {"stopped": stopped, "memory": memory}[sys.argv[1]](*sys.argv[2:])
