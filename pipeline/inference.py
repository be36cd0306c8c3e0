"""Run a .tflite file by LiteRT, as a phone does: for train, which checks it, and evaluate, which measures it."""

import os
from pathlib import Path

import numpy as np

from pipeline.files import missing_file_error

BATCH = 1000  # images at once; bounds the memory that a wide network takes


def run(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Probabilities, float32 [n, classes], for raw pixels, whole numbers 0…255 [n, 28, 28], of any type."""
    if not path.exists():
        raise missing_file_error(path)
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=os.cpu_count())
    entry, leave = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    answers = []
    for start in range(0, len(pixels), BATCH):
        images = pixels[start : start + BATCH].astype(entry["dtype"])
        interpreter.resize_tensor_input(entry["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(entry["index"], images)
        interpreter.invoke()
        answers.append(interpreter.get_tensor(leave["index"]))
    return np.concatenate(answers)
