"""Read the prepared data: images and labels of one split, and what training may see."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.arrays import FloatArray, IntArray
from pipeline.files import damaged_file_error, missing_file_error


@dataclass(frozen=True)
class Split:
    """One split of the prepared data, memory-mapped.

    `images` is float32 [n, 28, 28, 1] in [0, 1], `one_hot` float32 [n, classes], and `index` the images' places in the
    raw file, int64 [n].
    """

    images: FloatArray
    one_hot: FloatArray
    index: IntArray

    @property
    def labels(self) -> IntArray:
        """The labels as numbers, int64 [n]."""
        labels: IntArray = self.one_hot.argmax(axis=1)
        return labels


@dataclass(frozen=True)
class TrainingData:
    """What training may see: the training and the validation images, never the test images."""

    train: Split
    val: Split

    @property
    def classes(self) -> int:
        return int(self.train.one_hot.shape[1])


def load_split(prepared: Path, name: str) -> Split:
    """Return the split `name` (train, val or test) of the folder data/prepared.

    Raise UserError if a file is missing or damaged.
    """
    return Split(*(_map_array(prepared / name / f"{part}.npy") for part in ("images", "labels", "index")))


def _map_array(path: Path) -> Any:
    try:
        return np.load(path, mmap_mode="r")
    except FileNotFoundError:
        raise missing_file_error(path) from None
    except (ValueError, EOFError) as error:
        raise damaged_file_error(path, error) from None


def load_training_data(prepared: Path) -> TrainingData:
    """Return the training and the validation split of the folder data/prepared."""
    return TrainingData(load_split(prepared, "train"), load_split(prepared, "val"))
