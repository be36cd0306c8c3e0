"""Run an exported file: .onnx by ONNX Runtime, as it is served, and .tflite by LiteRT, as a phone does.

train uses it to check the files, evaluate to measure them.
"""

import math
import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.files import damaged_file_error, missing_file_error

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# Images, and values, that are computed at once: bounds the memory that a wide network takes.
BATCH_IMAGES, BATCH_VALUES = 1000, 1_000_000
INPUT, OUTPUT = "pixels", "probabilities"  # the names in every ONNX file


def open_onnx(path: Path) -> "InferenceSession":
    """Return an ONNX Runtime session on the CPU; raise UserError if the file is missing or damaged."""
    import onnxruntime

    if not path.exists():
        raise missing_file_error(path)
    try:
        return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has another error class for each kind of damage
        raise damaged_file_error(path, error) from None


def count_batch_images(image_shape: Sequence[int]) -> int:
    """Return how many images of this shape are computed at once."""
    return max(1, min(BATCH_IMAGES, BATCH_VALUES // math.prod(image_shape)))


def predict_onnx(session: "InferenceSession", pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Return probabilities, float32 [n, classes], for raw pixels 0…255, of any type, shaped as the model takes them."""
    batches = (batch.astype(np.float32) for batch in split_in_batches(pixels))
    return np.concatenate([session.run([OUTPUT], {INPUT: batch})[0] for batch in batches])


def predict_litert(path: Path, pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Return probabilities, float32 [n, classes], for raw pixels, whole numbers 0…255 of any type.

    The pixels are shaped as the model takes them. Raise UserError if the file is missing or damaged.
    """
    if not path.exists():
        raise missing_file_error(path)
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(str(path), num_threads=os.cpu_count())
    except ValueError as error:
        raise damaged_file_error(path, error) from None
    entry, leave = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    answers = []
    for batch in split_in_batches(pixels):
        images = batch.astype(entry["dtype"])
        interpreter.resize_tensor_input(entry["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(entry["index"], images)
        interpreter.invoke()
        answers.append(interpreter.get_tensor(leave["index"]))
    return np.concatenate(answers)


def split_in_batches(pixels: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield views of images [n, …], one per batch; after each batch, release the memory of a memory map's pages."""
    size = count_batch_images(pixels.shape[1:])
    for start in range(0, len(pixels), size):
        yield pixels[start : start + size]
        release_pages(pixels)


def release_pages(array: NDArray[Any]) -> None:
    """Release the memory of a read-only memory map's pages; a page that is read again comes from the system's cache."""
    owner: Any = array
    while isinstance(owner, np.ndarray) and not owner.flags.writeable:
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)
