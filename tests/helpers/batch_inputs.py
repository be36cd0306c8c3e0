"""Inputs of the batch tool, in each form that it reads."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from serving.batch import formats
from serving.batch.source import Source
from serving.images import INK, Form
from tests.helpers.pictures import in_mnist_form


def open_source(path: Path, form: Form = INK, chunk_images: int = 1000) -> Source:
    """Open an input as the batch tool does for a model of that form."""
    return formats.open_source(path, form, chunk_images)


def many(count: int) -> np.ndarray:
    """Return images with a dot in the middle; the first pixel is the image's number modulo 250."""
    pixels = np.zeros((count, 28, 28), np.uint8)
    pixels[:, 14, 14] = 200
    pixels[:, 0, 0] = np.arange(count) % 250
    return pixels


def as_folder(folder: Path, images: np.ndarray) -> Path:
    """Write the images, with ink that gives them MNIST's form; every second one goes into a folder below."""
    (folder / "below").mkdir(parents=True)
    for number, image in enumerate(in_mnist_form(images)):
        Image.fromarray(image).save(folder / ("below" if number % 2 else ".") / f"{number:04}.png")
    return folder


def as_idx(file: Path, images: np.ndarray, announced: int | None = None) -> Path:
    """Write images under a header that announces their number, or `announced` instead."""
    content = (
        np.array([0x803, len(images) if announced is None else announced, 28, 28], ">u4").tobytes() + images.tobytes()
    )
    file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)
    return file


def as_npy(file: Path, images: np.ndarray) -> Path:
    np.save(file, images)
    return file


def as_parquet(file: Path, columns: dict | pa.Table) -> Path:
    """Write row groups of 700 rows; no other number here is a multiple of 700."""
    parquet.write_table(pa.table(columns) if isinstance(columns, dict) else columns, file, row_group_size=700)
    return file


FORMS: dict[str, Callable[[Path, np.ndarray], Path]] = {
    "npy": lambda folder, images: as_npy(folder / "a.npy", images),
    "npy, flat": lambda folder, images: as_npy(folder / "a.npy", images.reshape(-1, 784)),
    "npy, float": lambda folder, images: as_npy(folder / "a.npy", images.astype(np.float64)),
    "npy, Fortran's order": lambda folder, images: as_npy(folder / "a.npy", np.asfortranarray(images)),
    "idx": lambda folder, images: as_idx(folder / "images-idx3-ubyte", images),
    "idx, zipped": lambda folder, images: as_idx(folder / "images-idx3-ubyte.gz", images),
    "parquet, bytes": lambda folder, images: as_parquet(
        folder / "a.parquet", {"label": np.zeros(len(images)), "pixels": [image.tobytes() for image in images]}
    ),
    "parquet, lists": lambda folder, images: as_parquet(
        folder / "a.parquet", {"pixels": list(images.reshape(-1, 784)), "name": ["?"] * len(images)}
    ),
    "parquet, columns": lambda folder, images: as_parquet(
        folder / "a.parquet",
        {"label": np.zeros(len(images), int)} | {f"p{i}": images.reshape(-1, 784)[:, i] for i in range(784)},
    ),
}


def bright(count: int) -> np.ndarray:
    """Return images to which a saved model of tests.helpers.models answers the last digit of their number."""
    images = np.zeros((count, 28, 28), np.uint8)
    images[np.arange(count), 0, np.arange(count) % 10] = 255
    return images


def as_shards(folder: Path, *counts: int) -> Path:
    """Write a Parquet file of `bright` images for each number in `counts`."""
    folder.mkdir()
    for number, count in enumerate(counts):
        columns = {"pixels": pa.array([image.tobytes() for image in bright(count)], pa.binary())}
        as_parquet(folder / f"{number:03}.parquet", columns)
    return folder
