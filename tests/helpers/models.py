"""Served models whose answers are known without training."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from pipeline.evaluation.metrics import choose_golden_images
from serving.images import INK, Form
from serving.model import Classifier
from tests.helpers.networks import write_onnx
from tests.helpers.project import SOURCE

DIGITS = [str(digit) for digit in range(10)]


def write_artifacts(folder: Path, form: Form = INK, class_names: Sequence[str] = DIGITS) -> dict[str, Path]:
    """Write a network that answers which of an image's first values is bright, and golden images; return both paths."""
    write_onnx(folder / "model.onnx", 0, form.shape, len(class_names))
    return write_golden(folder, bright_values(form, len(class_names)), form, class_names)


def write_golden(
    folder: Path, images: np.ndarray, form: Form = INK, class_names: Sequence[str] = DIGITS
) -> dict[str, Path]:
    """Write golden images of the network in `folder`, as if its answers to `images` were right; return both paths."""
    import onnxruntime

    files = {"onnx": folder / "model.onnx", "golden": folder / "golden.json"}
    session = onnxruntime.InferenceSession(files["onnx"])
    probabilities = session.run(None, {"pixels": images.astype(np.float32)})[0]
    golden = choose_golden_images(images, probabilities.argmax(axis=1), probabilities)
    golden |= {"class_names": list(class_names), "resize": form.resize, "usual": None}
    files["golden"].write_text(json.dumps(golden))
    return files


def bright_values(form: Form, classes: int) -> np.ndarray:
    """Return images of a form, to which the network answers 0, 1, 2 …: uint8 [classes, *form.shape]."""
    images = np.zeros((classes, math.prod(form.shape)), np.uint8)
    images[np.arange(classes), np.arange(classes)] = 255
    return images.reshape(-1, *form.shape)


def load_model(artifacts: dict[str, Path]) -> Classifier:
    """Return the model of these files, without MLflow's wrapper."""
    model = Classifier()
    model.load_context(load_context(artifacts))
    return model


def load_context(files: dict[str, Path]) -> SimpleNamespace:
    """Return the context from which MLflow lets a model load itself."""
    return SimpleNamespace(artifacts={name: str(path) for name, path in files.items()})


def save_model(folder: Path, artifacts: dict[str, Path], form: Form = INK) -> Path:
    """Save a model of these files as `register` logs it, without a registry; return the model's folder."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    mlflow.pyfunc.save_model(
        folder,
        python_model=str(SOURCE / "serving/model.py"),
        artifacts={name: str(path) for name, path in artifacts.items()},
        input_example=np.zeros((1, *form.shape), np.float32),
        signature=ModelSignature(inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, *form.shape))])),
        pip_requirements=[],
        metadata={"model": "bright_pixel", "dataset": "dots", "val_accuracy": 0.75, "test_accuracy": 0.5},
    )
    return folder
