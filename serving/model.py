"""The served model: raw pixels in, classes out. MLflow logs this file as code, so it imports nothing of the project.

float32 [n, height, width], of colour pictures [n, height, width, 3], 0…255, to a list of {"label": "7", "confidence":
0.998, "probabilities": […]}. Shape and names of the classes are those of the golden images.
"""

import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import ArrayLike

# It looks when it is imported, and would report its use to its makers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

MAX_IMAGES, MAX_VALUES = 1000, 1_000_000  # per call, but always one image
# Of the images that are run at once, height × width each: MNIST's 25, for which a network's layers take 0.4 MB each.
# Larger slices are no faster.
SLICE_PIXELS = 20_000
# Of a machine's processors a container may have a few only, which Python doesn't see.
MAX_THREADS = 4
# Processors add in different orders: probabilities differ by some 1e-6; a wrong weight moves them by more than this.
TOLERANCE = 1e-3


class Prediction(TypedDict):
    """The answer to one image: its class's name; `probabilities` has one for each, `confidence` is the largest."""

    label: str
    confidence: float
    probabilities: list[float]


class Classifier(PythonModel):
    """Answers images, of `shape` each, with `class_names`; `sha256` is that of the ONNX bytes that it runs."""

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
        self.class_names: list[str] = self.golden["class_names"]
        self.shape: tuple[int, ...] = np.shape(self.golden["pixels"])[1:]
        self.max_images = max(1, min(MAX_IMAGES, MAX_VALUES // math.prod(self.shape)))
        self.expected = describe(self.shape, self.golden["resize"] == "ink")
        self.check()  # a broken model doesn't start, and no request pays for the first run

    def predict(
        self, context: PythonModelContext | None, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> list[Prediction]:
        """Answer each image; a 400 (MlflowException) says what was expected for anything else."""
        probabilities = self.probabilities(model_input)
        self._require_scale(model_input)
        classes, confidences = probabilities.argmax(axis=1), probabilities.max(axis=1)
        return [
            {"label": self.class_names[number], "confidence": confidence, "probabilities": row}
            for number, confidence, row in zip(
                classes.tolist(), confidences.tolist(), probabilities.tolist(), strict=True
            )
        ]

    def probabilities(self, pixels: ArrayLike) -> np.ndarray:
        """Return the probability of each class, float32 [n, classes]; takes what `predict` takes, of any scale."""
        return self._run(self._validate(pixels))

    def check(self) -> None:
        """Answer the golden images again; MlflowException unless the answers are those of the evaluation."""
        expected = np.array(self.golden["probabilities"])
        answers = self._run(np.array(self.golden["pixels"], np.float32))
        if not expected.shape == answers.shape == (len(answers), len(self.class_names)):
            raise MlflowException(
                f"the network {self.sha256} answers {answers.shape[1]} classes, and golden.json names "
                f"{len(self.class_names)}"
            )
        same = answers.argmax(axis=1) == self.golden["answers"]
        same &= (np.abs(answers - expected) <= TOLERANCE).all(axis=1)
        if not same.all():
            raise MlflowException(
                f"the network {self.sha256} answers {(~same).sum()} of {len(same)} golden images otherwise than when "
                "it was evaluated: its file is damaged, or ONNX Runtime miscomputes on this machine"
            )

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        size = max(1, SLICE_PIXELS // math.prod(self.shape[:2]))
        slices = [pixels[start : start + size] for start in range(0, len(pixels), size)]
        map_slices = self.threads.map if len(slices) > 1 else map
        return np.concatenate(list(map_slices(lambda images: self.session.run(None, {"pixels": images})[0], slices)))

    def _validate(self, pixels: ArrayLike) -> np.ndarray:
        """Return `pixels` as float32 [n, *shape], 1 ≤ n ≤ max_images, values 0…255; MlflowException if they aren't."""
        expected = f"expected 1 to {self.max_images:,} {self.expected}; got "
        try:
            pixels = np.asarray(pixels, np.float32)
        except (TypeError, ValueError):
            raise MlflowException.invalid_parameter_value(f"{expected}what makes no array of numbers") from None
        if pixels.shape[1:] != self.shape or not 1 <= len(pixels) <= self.max_images:
            raise MlflowException.invalid_parameter_value(f"{expected}an array of shape {pixels.shape}")
        # A NaN makes the minimum NaN, for which no comparison holds.
        if not (pixels.min() >= 0 and pixels.max() <= 255):
            raise MlflowException.invalid_parameter_value(f"{expected}a value outside, or none at all (NaN)")
        return pixels

    def _require_scale(self, pixels: ArrayLike) -> None:
        """Raise MlflowException if no value is above 1, but one above 0: the images were scaled to 0…1."""
        if 0 < np.asarray(pixels).max() <= 1:
            raise MlflowException.invalid_parameter_value(
                f"expected {self.expected}; got numbers from 0 to 1 alone: multiply them by 255"
            )


def describe(shape: tuple[int, ...], is_ink: bool) -> str:
    """Return in words what images are expected: their shape, and what 0 and 255 mean."""
    size = "×".join(map(str, shape))
    values = "pixels" if len(shape) == 2 else "values (height, width, red green blue)"
    dark, light = ("background", "ink") if is_ink else ("dark", "light")
    return f"images of {size} {values}, each a number from 0 ({dark}) to 255 ({light})"


set_model(Classifier())
