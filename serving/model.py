"""The served model: raw pixels in, digits out. MLflow logs this file as code, so it imports nothing of the project.

float32 [n, 28, 28], pixels 0…255, to a list of {"digit": 7, "confidence": 0.998, "probabilities": […]}.
"""

import numpy as np
import onnxruntime
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

SHAPE = (28, 28)


class DigitModel(PythonModel):
    def load_context(self, context) -> None:
        self.session = onnxruntime.InferenceSession(context.artifacts["onnx"], providers=["CPUExecutionProvider"])
        self.session.run(None, {"pixels": np.zeros((1, *SHAPE), np.float32)})  # so that no request pays for the first

    def predict(self, context, model_input: np.ndarray, params: dict | None = None) -> list[dict]:
        """Answer each image; 400 (MlflowException) that says what was expected for anything else."""
        probabilities = self.session.run(None, {"pixels": checked(model_input)})[0]
        return [
            {"digit": int(row.argmax()), "confidence": float(row.max()), "probabilities": row.tolist()}
            for row in probabilities
        ]


def checked(pixels: np.ndarray) -> np.ndarray:
    """`pixels` as float32 [n, 28, 28] with n ≥ 1 and finite values in 0…255; MlflowException otherwise."""
    pixels = np.asarray(pixels, np.float32)
    expected = "expected images of 28×28 pixels, each a number from 0 (background) to 255 (ink)"
    if pixels.ndim != 3 or pixels.shape[1:] != SHAPE or not len(pixels):
        raise MlflowException.invalid_parameter_value(f"{expected}; got an array of shape {pixels.shape}")
    # A NaN makes the minimum NaN, for which no comparison holds.
    if not (pixels.min() >= 0 and pixels.max() <= 255):
        raise MlflowException.invalid_parameter_value(f"{expected}; got a value outside, or none at all (NaN)")
    return pixels


set_model(DigitModel())
