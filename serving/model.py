"""The served model: raw pixels in, digits out. MLflow logs this file as code, so it imports nothing of the project.

float32 [n, 28, 28], pixels 0…255, to a list of {"digit": 7, "confidence": 0.998, "probabilities": […]}.
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import onnxruntime
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import ArrayLike

SHAPE = (28, 28)
MAX_IMAGES = 1000  # per call
SLICE = 25  # images at once: a network's layers take 0.4 MB for each, and larger slices are no faster
# Of a machine's processors a container may have a few only, which Python doesn't see.
MAX_THREADS = 4
# Processors add in different orders: probabilities differ by some 1e-6; a wrong weight moves them by more than this.
TOLERANCE = 1e-3


class Prediction(TypedDict):
    """The answer to one image; `probabilities` has one for each digit, `confidence` is the largest of them."""

    digit: int
    confidence: float
    probabilities: list[float]


class DigitModel(PythonModel):
    """Answers images with digits; `sha256` is that of the ONNX bytes that it runs."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the network and the golden images from `context`; MlflowException if they don't fit each other."""
        network = Path(context.artifacts["onnx"]).read_bytes()
        self.sha256 = sha256(network).hexdigest()
        options = onnxruntime.SessionOptions()
        # One image gains nothing from a second thread, which would spin on another processor while it waits for work;
        # many images gain more from slices side by side. And what the largest request took of memory is given back.
        options.intra_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        self.session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        self.threads = ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1))
        self.golden = json.loads(Path(context.artifacts["golden"]).read_text())
        self.check()  # a broken model doesn't start, and no request pays for the first run

    def predict(
        self, context: PythonModelContext | None, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> list[Prediction]:
        """Answer each image; a 400 (MlflowException) says what was expected for anything else."""
        probabilities = self.probabilities(model_input)
        require_scale(model_input)
        digits, confidences = probabilities.argmax(axis=1), probabilities.max(axis=1)
        return [
            {"digit": digit, "confidence": confidence, "probabilities": row}
            for digit, confidence, row in zip(
                digits.tolist(), confidences.tolist(), probabilities.tolist(), strict=True
            )
        ]

    def probabilities(self, pixels: ArrayLike) -> np.ndarray:
        """Return the probability of each digit, float32 [n, 10]; takes what `predict` takes, of any scale."""
        return self._run(validate_pixels(pixels))

    def check(self) -> None:
        """Answer the golden images again; MlflowException unless the answers are those of the evaluation."""
        expected = np.array(self.golden["probabilities"])
        answers = self._run(np.array(self.golden["pixels"], np.float32))
        same = (answers.argmax(axis=1) == self.golden["digits"]) & (np.abs(answers - expected) <= TOLERANCE).all(axis=1)
        if not same.all():
            raise MlflowException(
                f"the network {self.sha256} answers {(~same).sum()} of {len(same)} golden images otherwise than when "
                "it was evaluated: its file is damaged, or ONNX Runtime miscomputes on this machine"
            )

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        slices = [pixels[start : start + SLICE] for start in range(0, len(pixels), SLICE)]
        map_slices = self.threads.map if len(slices) > 1 else map
        return np.concatenate(list(map_slices(lambda images: self.session.run(None, {"pixels": images})[0], slices)))


def validate_pixels(pixels: ArrayLike) -> np.ndarray:
    """Return `pixels` as float32 [n, 28, 28], 1 ≤ n ≤ MAX_IMAGES, values 0…255; MlflowException if they aren't."""
    expected = (
        f"expected 1 to {MAX_IMAGES:,} images of 28×28 pixels, each a number from 0 (background) to 255 (ink); got "
    )
    try:
        pixels = np.asarray(pixels, np.float32)
    except (TypeError, ValueError):
        raise MlflowException.invalid_parameter_value(f"{expected}what makes no array of numbers") from None
    if pixels.ndim != 3 or pixels.shape[1:] != SHAPE or not 1 <= len(pixels) <= MAX_IMAGES:
        raise MlflowException.invalid_parameter_value(f"{expected}an array of shape {pixels.shape}")
    # A NaN makes the minimum NaN, for which no comparison holds.
    if not (pixels.min() >= 0 and pixels.max() <= 255):
        raise MlflowException.invalid_parameter_value(f"{expected}a value outside, or none at all (NaN)")
    return pixels


def require_scale(pixels: ArrayLike) -> None:
    """Raise MlflowException if no value is above 1, but one above 0: the images were scaled to 0…1."""
    if 0 < np.asarray(pixels).max() <= 1:
        raise MlflowException.invalid_parameter_value(
            "expected pixels from 0 (background) to 255 (ink); got numbers from 0 to 1 alone: multiply them by 255"
        )


set_model(DigitModel())
