import sys

import numpy as np
import psutil
import pytest

from pipeline import inference
from pipeline.cli import UserError
from pipeline.inference import open_onnx, predict_litert, predict_onnx
from tests.helpers.networks import write_litert, write_onnx


def bright_pixels(count: int) -> np.ndarray:
    """Return images whose one bright pixel is at the place of their digit: 0 … 9 in turn."""
    pixels = np.zeros((count, 28, 28), np.float32)
    pixels[np.arange(count), 0, np.arange(count) % 10] = 255
    return pixels


def test_many_images_are_answered_in_their_order(tmp_path):
    write_onnx(tmp_path / "model.onnx", wrong=0)
    session = open_onnx(tmp_path / "model.onnx")
    count = 2 * inference.BATCH_IMAGES + 7
    answers = predict_onnx(session, bright_pixels(count))
    assert answers.shape == (count, 10)
    assert (answers.argmax(axis=1) == np.arange(count) % 10).all()
    assert session.get_providers() == ["CPUExecutionProvider"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much of a map is in memory")
def test_a_memory_map_that_is_read_in_batches_does_not_stay_in_memory(tmp_path):
    np.save(tmp_path / "images.npy", np.resize(np.arange(251, dtype=np.uint8), (50_000, 28, 28, 1)))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")

    def measure_mapped() -> int:
        return int(psutil.Process().memory_info().shared)

    before = measure_mapped()
    total, highest = 0, 0
    for batch in inference.split_in_batches(mapped[..., 0]):
        total += int(batch.sum())
        highest = max(highest, measure_mapped() - before)
    assert total == mapped.sum()
    assert highest < mapped.nbytes / 4
    assert measure_mapped() - before > mapped.nbytes / 2  # which only the sum has read


def test_litert_answers_in_the_same_order_and_takes_any_type(tmp_path):
    write_litert(tmp_path, wrong=3)
    count = inference.BATCH_IMAGES + 7
    for pixels in (bright_pixels(count), bright_pixels(count).astype(np.uint8)):
        answers = predict_litert(tmp_path / "model.tflite", pixels)
        digits = np.arange(count) % 10
        assert (answers.argmax(axis=1) == np.where(digits < 3, 9, digits)).all()


@pytest.mark.parametrize(("file", "run"), [("a.onnx", open_onnx), ("a.tflite", lambda p: predict_litert(p, None))])
def test_a_missing_file_is_reported_with_the_command_that_makes_it(tmp_path, file, run):
    with pytest.raises(UserError, match=f"{file} is missing: run `dvc repro`"):
        run(tmp_path / file)


@pytest.mark.parametrize(("file", "run"), [("a.onnx", open_onnx), ("a.tflite", lambda p: predict_litert(p, None))])
@pytest.mark.parametrize("content", [b"", b"damaged" * 100])
def test_a_damaged_file_is_reported(tmp_path, file, run, content):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(UserError, match=rf"{file} is damaged \(.+\): run `dvc repro`"):
        run(tmp_path / file)
