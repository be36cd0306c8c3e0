"""Group numbers: images that belong together, of one writer or one group of pictures, share a number."""

import csv
import gzip
import zlib
from pathlib import Path

import numpy as np

from pipeline.cli import UserError
from pipeline.config.catalogue import WriterTables
from pipeline.data.arrays import BoolArray, IntArray, UInt16Array
from pipeline.data.splits import SPLITS
from pipeline.files import damaged_file_error, missing_file_error

FILE = "groups.npy"  # in the folder of each split, int64 [n]
LABEL, WRITER = 0, 2  # columns of QMNIST's tables


def read_writers(folder: Path, tables: WriterTables, labels: UInt16Array, is_test: BoolArray) -> list[str]:
    """Return the number of each image's writer, as text, for all training images and then all test images.

    Raise UserError if a table in `folder` is missing or damaged, or if its labels differ from `labels`.
    """
    writers: list[str] = []
    for file, own in zip(tables.files, (labels[~is_test], labels[is_test]), strict=True):
        described, names = _read_table(folder / file)
        if len(described) < len(own):
            raise UserError(
                f"{folder / file} has {len(described):,} rows for {len(own):,} images: each row describes one image, "
                "so get the whole table (delete data/raw and run `dvc repro`), or write writers: false"
            )
        # QMNIST's test set begins with MNIST's, and has 50,000 images more.
        if differing := int((described[: len(own)] != own).sum()):
            raise UserError(
                f"{folder / file} gives {differing:,} of {len(own):,} images another label, so it describes other "
                "images: delete data/raw and run `dvc repro`, or write writers: false"
            )
        writers += names[: len(own)]
    return writers


def _read_table(path: Path) -> tuple[IntArray, list[str]]:
    """Return the labels and the writers of a tab-separated table that is compressed by gzip."""
    try:
        with gzip.open(path, "rt", encoding="ascii", newline="") as file:
            rows = [(int(row[LABEL]), row[WRITER]) for row in csv.reader(file, delimiter="\t")]
    except FileNotFoundError:
        raise missing_file_error(path) from None
    except (OSError, EOFError, zlib.error, csv.Error, ValueError, IndexError) as error:
        raise damaged_file_error(path, error) from None
    return np.array([label for label, _ in rows], np.int64), [writer for _, writer in rows]


def write_groups(folder: Path, numbers: IntArray, split_of: IntArray) -> None:
    """Write the group numbers of each split's images, in order; `split_of` has each image's place in SPLITS, or -1."""
    for place, split in enumerate(SPLITS):
        np.save(folder / split / FILE, numbers[split_of == place])


def load_groups(prepared: Path, split: str) -> IntArray:
    """Return the group numbers of a split's images, int64 [n]; raise UserError if the file is missing or damaged."""
    path = prepared / split / FILE
    try:
        groups: IntArray = np.load(path)
    except FileNotFoundError:
        raise missing_file_error(path) from None
    except (ValueError, EOFError) as error:
        raise damaged_file_error(path, error) from None
    return groups


def count_groups(folder: Path) -> dict[str, int]:
    """Return the number of groups in the folder of a split, as an entry of its description; {} if it has none."""
    return {"groups": len(np.unique(np.load(folder / FILE)))} if (folder / FILE).exists() else {}
