import gzip
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import UserError
from pipeline.config.catalogue import WriterTables
from pipeline.data.groups import count_groups, load_groups, read_writers, write_groups
from tests.helpers.datasets import write_writers

TABLES = WriterTables("tables", (), {"train.tsv.gz": "", "test.tsv.gz": ""})
LABELS, IS_TEST = np.array([5, 0, 4, 7, 2], np.uint16), np.array([False, False, False, True, True])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_writers(tmp_path / "train.tsv.gz", [5, 0, 4], [7, 8, 7])
    write_writers(tmp_path / "test.tsv.gz", [7, 2, 9], [30, 31, 32])  # QMNIST's test set is larger than MNIST's
    return tmp_path


def test_each_image_has_its_writer(folder):
    assert read_writers(folder, TABLES, LABELS, IS_TEST) == ["7", "8", "7", "30", "31"]


@pytest.mark.parametrize(
    ("file", "labels", "message"),
    [
        ("train.tsv.gz", [5, 0], r"train.tsv.gz has 2 rows for 3 images: .*writers: false"),
        ("test.tsv.gz", [7], r"test.tsv.gz has 1 rows for 2 images"),
        ("train.tsv.gz", [5, 4, 0], r"train.tsv.gz gives 2 of 3 images another label, so it describes other images"),
        ("test.tsv.gz", [], r"test.tsv.gz has 0 rows for 2 images"),
    ],
)
def test_a_table_of_other_images_is_refused(folder, file, labels, message):
    write_writers(folder / file, labels, labels)
    with pytest.raises(UserError, match=message):
        read_writers(folder, TABLES, LABELS, IS_TEST)


@pytest.mark.parametrize(
    "content",
    [b"<html>", gzip.compress(b"5\t4\t7\n" * 99)[:-9], gzip.compress(b"5\t4\n"), gzip.compress(b"five\t4\t7\n"),
     gzip.compress("ü".encode())],
    ids=["no gzip", "cut off", "too few columns", "no number", "other letters"],
)  # fmt: skip
def test_a_damaged_table_is_reported(folder, content):
    (folder / "test.tsv.gz").write_bytes(content)
    with pytest.raises(UserError, match=r"test.tsv.gz is damaged \(.+\): run `dvc repro`"):
        read_writers(folder, TABLES, LABELS, IS_TEST)


def test_a_missing_table_is_reported(folder):
    (folder / "train.tsv.gz").unlink()
    with pytest.raises(UserError, match=r"train.tsv.gz is missing: run `dvc repro`"):
        read_writers(folder, TABLES, LABELS, IS_TEST)


def test_the_groups_of_a_split_are_kept_in_its_order(tmp_path):
    for split in ("train", "val", "test"):
        (tmp_path / split).mkdir()
        assert count_groups(tmp_path / split) == {}
    write_groups(tmp_path, np.array([4, 4, 5, 6, 7, 6]), np.array([0, 0, 2, 1, -1, 2]))
    assert [load_groups(tmp_path, split).tolist() for split in ("train", "val", "test")] == [[4, 4], [6], [5, 6]]
    assert count_groups(tmp_path / "train") == {"groups": 1}


@pytest.mark.parametrize(("content", "fault"), [(None, "missing"), (b"", "damaged"), (b"\x93NUMPY", "damaged")])
def test_a_groups_file_that_cannot_be_read_is_reported(tmp_path, content, fault):
    (tmp_path / "test").mkdir()
    if content is not None:
        (tmp_path / "test/groups.npy").write_bytes(content)
    with pytest.raises(UserError, match=f"groups.npy is {fault}"):
        load_groups(tmp_path, "test")
