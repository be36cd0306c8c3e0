"""ONNX Runtime reports its use and the models' names to its makers, unless a variable forbids it before its import."""

import os
import subprocess
import sys

import pytest

from tests.helpers.project import SOURCE


@pytest.mark.slow
@pytest.mark.parametrize(
    "start",
    [
        "from pipeline.cli import run; run(lambda: __import__('onnxruntime'))",
        "from serving.environment import set_mlflow_defaults; set_mlflow_defaults(); import onnxruntime",
        "import serving.model",  # as `mlflow models serve` does
    ],
    ids=["stages and commands", "app and batch tool", "served model"],
)
def test_onnx_runtime_keeps_no_record_of_its_use(start, tmp_path):
    # Without the variable CI, with which it reports nothing anyway.
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run((sys.executable, "-c", start), cwd=SOURCE, env=environment, check=True)
    assert [path.name for path in tmp_path.rglob("*")] == []
