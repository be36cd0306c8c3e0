"""Served models whose answers are known without training."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from pipeline.evaluation.metrics import choose_golden_images
from tests.helpers.networks import write_onnx
from tests.helpers.project import SOURCE


def write_artifacts(folder: Path) -> dict[str, Path]:
    """Write a network whose answer is the place of the bright pixel, and its golden images; return both files."""
    import onnxruntime

    files = {"onnx": folder / "model.onnx", "golden": folder / "golden.json"}
    write_onnx(files["onnx"], wrong=0)
    images = np.zeros((10, 28, 28), np.float32)
    images[np.arange(10), 0, np.arange(10)] = 255
    session = onnxruntime.InferenceSession(files["onnx"])
    golden = choose_golden_images(images, np.arange(10), session.run(None, {"pixels": images})[0])
    files["golden"].write_text(json.dumps(golden))
    return files


def load_context(files: dict[str, Path]) -> SimpleNamespace:
    """Return what MLflow gives a model to load itself from."""
    return SimpleNamespace(artifacts={name: str(path) for name, path in files.items()})


def save_model(folder: Path, artifacts: dict[str, Path]) -> Path:
    """Save such a network as `register` logs it, without a registry; return the model's folder."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    mlflow.pyfunc.save_model(
        folder,
        python_model=str(SOURCE / "serving/model.py"),
        artifacts={name: str(path) for name, path in artifacts.items()},
        input_example=np.zeros((1, 28, 28), np.float32),
        signature=ModelSignature(inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, 28, 28))])),
        pip_requirements=[],
        metadata={"model": "bright_pixel", "dataset": "dots", "val_accuracy": 0.75, "test_accuracy": 0.5},
    )
    return folder
