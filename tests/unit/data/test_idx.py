import gzip
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import UserError
from pipeline.data.idx import read_idx, read_labels, write_idx
from tests.helpers.datasets import random_raw_files, write_raw_files

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder with 600 + 100 random images and their labels."""
    write_raw_files(tmp_path, random_raw_files())
    return tmp_path


def make_idx(magic: bytes, *sizes: int, content: bytes = b"") -> bytes:
    return magic + b"".join(size.to_bytes(4, "big") for size in sizes) + content


def test_the_header_is_that_of_the_format(tmp_path):
    write_idx(tmp_path / "file", np.arange(6, dtype=np.uint8).reshape(2, 3))
    assert (tmp_path / "file").read_bytes() == make_idx(b"\0\0\x08\x02", 2, 3, content=bytes(range(6)))


@pytest.mark.parametrize(("chunk", "sizes"), [(64, [64] * 9 + [24]), (600, [600]), (300, [300, 300]), (4096, [600])])
def test_images_come_in_chunks_in_their_order(raw, chunk, sizes):
    chunks = list(read_idx(raw, IMAGES, (28, 28), chunk))
    assert [len(pixels) for pixels in chunks] == sizes
    np.testing.assert_array_equal(np.concatenate(chunks), random_raw_files()[IMAGES])
    assert chunks[0].dtype == np.uint8


def test_labels_come_at_once(raw):
    labels = read_labels(raw, "t10k")
    assert labels.tolist() == [n % 10 for n in range(100)]
    assert labels.dtype == np.uint8


def test_an_empty_file_has_no_labels(raw):
    write_idx(raw / LABELS, np.zeros(0, np.uint8))
    assert read_labels(raw, "train").tolist() == []


def test_packed_files_are_read_too_and_first(raw):
    packed = make_idx(b"\0\0\x08\x01", 3, content=b"\1\2\3")
    (raw / f"{LABELS}.gz").write_bytes(gzip.compress(packed))
    assert read_labels(raw, "train").tolist() == [1, 2, 3]
    (raw / LABELS).unlink()
    assert read_labels(raw, "train").tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (IMAGES, make_idx(b"\0\0\x09\x03", 600, 28, 28), "magic number 00000903, not 00000803"),
        (LABELS, make_idx(b"\0\0\x08\x03", 600, 28, 28), "magic number 00000803, not 00000801"),
        (IMAGES, b"<html>", "magic number"),
        (IMAGES, b"\0\0", "magic number"),
        (IMAGES, make_idx(b"\0\0\x08\x03", 600), "damaged"),
        (IMAGES, make_idx(b"\0\0\x08\x03", 600, 32, 32), "32×32 pixels, not 28×28"),
        (IMAGES, make_idx(b"\0\0\x08\x03", 600, 28, 28, content=b"x"), "announces 600 items, but the file ends before"),
        (LABELS, make_idx(b"\0\0\x08\x01", 600, content=bytes(599)), "announces 600 items, but the file ends before"),
        (LABELS, make_idx(b"\0\0\x08\x01", 600, content=bytes(601)), "announces 600 items, but more follow"),
    ],
)
def test_a_file_of_another_form_is_refused(raw, name, content, message):
    (raw / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(read_idx(raw, name, (28, 28) if name == IMAGES else ()))


@pytest.mark.parametrize("damage", [lambda packed: packed[: len(packed) // 2], lambda packed: packed[:200] + b"x" * 9])
def test_a_damaged_packed_file_is_refused(raw, damage):
    (raw / f"{IMAGES}.gz").write_bytes(damage(gzip.compress((raw / IMAGES).read_bytes())))
    with pytest.raises(UserError, match=r"damaged.*delete data/raw.*dvc repro"):
        list(read_idx(raw, IMAGES, (28, 28)))


def test_a_missing_file_is_reported_with_what_brings_it(raw):
    with pytest.raises(UserError, match=r"other-labels-idx1-ubyte\[.gz\] is missing.*dvc repro"):
        read_labels(raw, "other")
