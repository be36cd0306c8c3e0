"""Read the prepared data: images and labels of one split, and what training may see."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.arrays import IntArray, UInt8Array, UInt16Array
from pipeline.files import damaged_file_error, missing_file_error, read_json

DESCRIPTION = "dataset.json"


@dataclass(frozen=True)
class Split:
    """One split of the prepared data, memory-mapped.

    `pixels` is uint8 [n, height, width, channels], `labels` uint16 [n], class numbers, and `index` the images' places
    in the raw file or, for pictures, the rows of sources.csv, int64 [n].
    """

    pixels: UInt8Array
    labels: UInt16Array
    index: IntArray


@dataclass(frozen=True)
class TrainingData:
    """What training may see: the training and the validation images, never the test images."""

    train: Split
    val: Split
    classes: int

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width, channels = self.train.pixels.shape[1:]
        return height, width, channels


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
    classes = read_json(prepared / DESCRIPTION)["classes"]
    return TrainingData(load_split(prepared, "train"), load_split(prepared, "val"), classes)
