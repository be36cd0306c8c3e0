"""How much memory the stage `preprocess` takes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.idx import write_idx
from tests.helpers.params import PARAMS


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's own peak from Linux' /proc")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    """Four times as many images, which are 120 MB more as float32, may take at most 20 MB more memory."""
    code = "import runpy; runpy.run_module('pipeline.preprocess', run_name='__main__')\n"
    # Not getrusage: its peak includes that of the process that started this one.
    code += "print([line for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"

    def measure_peak(images: int) -> int:
        folder = tmp_path / str(images)
        (folder / "data" / "raw").mkdir(parents=True)
        (folder / "params.yaml").write_text(PARAMS)
        for name, count in (("train", images), ("t10k", 1000)):
            pixels = np.random.default_rng(0).integers(0, 256, (count, 28, 28), np.uint8)
            write_idx(folder / "data" / "raw" / f"{name}-images-idx3-ubyte", pixels)
            write_idx(folder / "data" / "raw" / f"{name}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8) % 10)
        environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
        return int(done.stdout.split("VmHWM:")[1].split()[0]) * 1024

    assert measure_peak(53_000) - measure_peak(13_000) < 20e6
