"""Write the prepared data: memory-mappable arrays, and what dataset.json says of them.

Images are read, written and counted in chunks, so the memory it takes doesn't grow with their number.
"""

import math
from collections.abc import Mapping
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.cli import UserError
from pipeline.config.image import IMAGE_SIZE
from pipeline.data.arrays import BoolArray, UInt8Array, UInt64Array
from pipeline.data.idx import CHUNK, read_idx, read_labels
from pipeline.data.pixels import SCALE
from pipeline.data.splits import count_classes, draw_validation_mask
from pipeline.files import sha256_of


def prepare(
    raw: Path, folder: Path, name: str, validation_images: int, seed: int, chunk: int = CHUNK
) -> dict[str, Any]:
    """Write the splits train, val and test of the data set `name` into `folder`; return its description.

    Raise UserError if a file of `raw` is missing or wrong, or if images and labels don't belong together.
    """
    train_labels, test_labels = read_labels(raw, "train"), read_labels(raw, "t10k")
    classes = count_classes(train_labels, test_labels)
    validation = draw_validation_mask(train_labels, validation_images, seed)
    everything = np.ones(len(test_labels), bool)
    test_hashes = write_splits(raw, folder, "t10k", test_labels, {"test": everything}, chunk)
    masks = {"train": ~validation, "val": validation}
    train_hashes = write_splits(raw, folder, "train", train_labels, masks, chunk)
    return {
        "name": name,
        "classes": classes,
        "class_names": [str(number) for number in range(classes)],
        "image_shape": [IMAGE_SIZE, IMAGE_SIZE, 1],
        "resize": "ink",
        "scale": float(SCALE),
        "seed": seed,
        "splits": {split: summarise(folder / split, classes, chunk) for split in ("train", "val", "test")},
        "training_images_also_in_test": int(np.isin(train_hashes, test_hashes).sum()),
        "sources_sha256": {path.name: sha256_of(path) for path in sorted(raw.iterdir())},
        "files_sha256": {
            path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(folder.rglob("*.npy"))
        },
    }


def write_splits(
    raw: Path,
    folder: Path,
    name: str,
    labels: UInt8Array,
    masks: Mapping[str, BoolArray],
    chunk: int = CHUNK,
) -> UInt64Array:
    """Write the raw set `name` into one folder per mask; return a 64-bit hash of each image, uint64 [n].

    A split has images.npy, uint8 [n, height, width, channels]; labels.npy, uint16 [n]; and index.npy, the images'
    places in the raw file, int64 [n]. Raise UserError if images and labels differ in number, or if no pixel is bright.
    """
    hashes = np.zeros(len(labels), np.uint64)
    highest = start = 0
    with ExitStack() as stack:
        files = {}
        for split, mask in masks.items():
            (folder / split).mkdir()
            np.save(folder / split / "labels.npy", labels[mask].astype(np.uint16))
            np.save(folder / split / "index.npy", np.flatnonzero(mask))
            files[split] = stack.enter_context((folder / split / "images.npy").open("wb"))
            header = np.lib.format.header_data_from_array_1_0(np.empty((0, IMAGE_SIZE, IMAGE_SIZE, 1), np.uint8))
            header["shape"] = (int(mask.sum()), *header["shape"][1:])
            np.lib.format.write_array_header_1_0(files[split], header)
        for pixels in read_idx(raw, f"{name}-images-idx3-ubyte", chunk):
            end = start + len(pixels)
            if end > len(labels):
                break
            for split, mask in masks.items():
                pixels[mask[start:end]].tofile(files[split])
            hashes[start:end] = [int.from_bytes(blake2b(image, digest_size=8).digest()) for image in pixels]
            highest, start = max(highest, int(pixels.max())), end
    if start != len(labels):
        raise UserError(
            f"{name}: images and labels of {raw} differ in number, {len(labels)} labels: delete {raw} and run "
            "`dvc repro`, which downloads them again"
        )
    if highest < 128:
        raise UserError(f"{name}: the brightest pixel is {highest}; raw pixels should reach up to 255")
    return hashes


def summarise(folder: Path, classes: int, chunk: int = CHUNK) -> dict[str, Any]:
    """Return what dataset.json says of a split: images, images per class, mean and deviation of pixels in [0, 1]."""
    counts = np.zeros(256, np.int64)  # of each pixel value: exact, however many there are
    with (folder / "images.npy").open("rb") as file:  # not mapped: a map's pages stay in memory
        np.lib.format.read_magic(file)
        shape, _, _ = np.lib.format.read_array_header_1_0(file)
        while len(values := np.fromfile(file, np.uint8, chunk * math.prod(shape[1:]))):
            counts += np.bincount(values, minlength=256)
    scaled = np.arange(256) * float(SCALE)
    mean = counts @ scaled / counts.sum()
    return {
        "images": shape[0],
        "per_class": np.bincount(np.load(folder / "labels.npy"), minlength=classes).tolist(),
        "mean": round(mean, 6),
        "deviation": round(math.sqrt(counts @ np.square(scaled) / counts.sum() - mean**2), 6),
    }
