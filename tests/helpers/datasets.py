"""Small raw and prepared data sets, and models trained on them."""

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.config.catalogue import CATALOGUE
from pipeline.config.dataset import Dataset
from pipeline.data.idx import write_idx


def publish_files(mirrors: Sequence[str], sha256: Mapping[str, str]) -> Dataset:
    """Return MNIST's section of the catalogue with other mirrors, of any URL scheme, and other sha256 of the files."""
    return CATALOGUE["mnist"].model_copy(update={"mirrors": tuple(mirrors), "files": dict(sha256)})


def random_raw_files(train: int = 600, test: int = 100) -> dict[str, np.ndarray]:
    """Return a raw data set of random images, by file name; its labels are 0 … 9 in turn."""
    random = np.random.default_rng(0)
    return {
        "train-images-idx3-ubyte": random.integers(0, 256, (train, 28, 28)).astype(np.uint8),
        "train-labels-idx1-ubyte": np.arange(train, dtype=np.uint8) % 10,
        "t10k-images-idx3-ubyte": random.integers(0, 256, (test, 28, 28)).astype(np.uint8),
        "t10k-labels-idx1-ubyte": np.arange(test, dtype=np.uint8) % 10,
    }


def write_raw_files(folder: Path, contents: Mapping[str, np.ndarray | bytes]) -> None:
    """Write each file of a raw data set: an array in the IDX format, bytes as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            write_idx(folder / name, content)


def write_writers(path: Path, labels: Sequence[int], writers: Sequence[int]) -> None:
    """Write a table like that of QMNIST: label, series, writer and five more columns for each image."""
    rows = [f"{label}\t4\t{writer}\t0\t30\t0\t0\t0\n" for label, writer in zip(labels, writers, strict=True)]
    path.write_bytes(gzip.compress("".join(rows).encode()))


def write_pictures(folder: Path, counts: Mapping[str, int], size: tuple[int, int] = (8, 8), first: int = 0) -> None:
    """Write different PNG files in colour, 0.png, 1.png, …, into folders below `folder`: `counts` has their numbers."""
    number = first
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for place in range(count):
            pixels = np.random.default_rng(number).integers(0, 256, (*size, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{place}.png")
            number += 1


def write_split(folder: Path, pixels: np.ndarray, labels: np.ndarray) -> None:
    """Write one split of prepared data: uint8 [n, height, width, channels], and class numbers [n]."""
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", pixels)
    np.save(folder / "labels.npy", labels.astype(np.uint16))
    np.save(folder / "index.npy", np.arange(len(pixels)))


def write_description(prepared: Path, class_names: Sequence[str] = "0123456789", resize: str = "ink") -> None:
    """Write dataset.json with the keys that training and evaluation read."""
    content = {"name": "mnist", "classes": len(class_names), "class_names": list(class_names), "resize": resize}
    (prepared / "dataset.json").write_text(json.dumps(content))


def write_numbered_data(prepared: Path, train: int = 95, val: int = 20) -> None:
    """Write prepared data whose images differ in their first pixel: 0, 1, 2, …"""
    for split, count in (("train", train), ("val", val)):
        pixels = np.zeros((count, 28, 28, 1), np.uint8)
        pixels[:, 0, 0, 0] = np.arange(count)
        write_split(prepared / split, pixels, np.arange(count) % 10)
    write_description(prepared)
