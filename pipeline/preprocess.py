"""Check, split and normalise data/raw/ into data/prepared/: memory-mappable arrays and dataset.json.

Images are read, written and counted in chunks, so the memory it takes doesn't grow with their number.
"""

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path

import numpy as np

from pipeline.cli import UserError, run
from pipeline.config.model import IMAGE_SIZE
from pipeline.config.params import load
from pipeline.data.pixels import normalise
from pipeline.files import publish, sha256_of, write_json

RAW, PREPARED = Path("data/raw"), Path("data/prepared")
CHUNK = 4096  # images at a time: 13 MB as float32
LARGEST_VALIDATION_SHARE = 6  # a small data set gives at most a sixth of its training images


def main() -> None:
    params = load()
    train_labels, test_labels = read_labels("train"), read_labels("t10k")
    classes = count_classes(train_labels, test_labels)
    validation = stratified_mask(train_labels, params.validation_images, params.seed)
    with publish(PREPARED) as folder:
        everything = np.ones(len(test_labels), bool)
        test_hashes = write_splits(folder, "t10k", test_labels, {"test": everything}, classes)
        masks = {"train": ~validation, "val": validation}
        train_hashes = write_splits(folder, "train", train_labels, masks, classes)
        description = {
            "name": params.dataset,
            "classes": classes,
            "image_shape": [IMAGE_SIZE, IMAGE_SIZE, 1],
            "seed": params.seed,
            "splits": {name: summary(folder / name) for name in ("train", "val", "test")},
            "training_images_also_in_test": int(np.isin(train_hashes, test_hashes).sum()),
            "sources_sha256": {path.name: sha256_of(path) for path in sorted(RAW.iterdir())},
            "files_sha256": {
                path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(folder.rglob("*.npy"))
            },
        }
        write_json(folder / "dataset.json", description)
    counts = ", ".join(f"{split['images']} {name}" for name, split in description["splits"].items())
    print(f"{params.dataset}: {counts}; {description['training_images_also_in_test']} training images are also in test")


def read_labels(name: str) -> np.ndarray:
    """All labels of `train` or `t10k`, uint8 [n]."""
    return np.concatenate([np.zeros(0, np.uint8), *read_idx(f"{name}-labels-idx1-ubyte")])


def read_idx(name: str) -> Iterator[np.ndarray]:
    """Yield an IDX file of unsigned bytes, packed or not, in chunks: uint8 [n, 28, 28] or [n].

    Format: two zero bytes, 8 for unsigned bytes, the number of dimensions, their sizes as big-endian uint32, the
    values. UserError for another magic number or shape, or for fewer or more bytes than the header announces.
    """
    path = next((p for p in (RAW / f"{name}.gz", RAW / name) if p.exists()), None)
    if path is None:
        raise UserError(f"{RAW / name}[.gz] is missing: run `dvc repro`, whose download stage brings it")
    dimensions = 3 if "-idx3-" in name else 1
    wrong = f"{path} is not MNIST's format: "
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            magic = file.read(4)
            if magic != bytes((0, 0, 8, dimensions)):
                raise UserError(f"{wrong}magic number {magic.hex()}, not 000008{dimensions:02x}")
            count, *shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
            if shape not in ([], [IMAGE_SIZE, IMAGE_SIZE]):
                raise UserError(f"{wrong}images of {shape[0]}×{shape[1]} pixels, not {IMAGE_SIZE}×{IMAGE_SIZE}")
            size = math.prod(shape)
            for start in range(0, count, CHUNK):
                wanted = min(CHUNK, count - start) * size
                content = file.read(wanted)
                if len(content) < wanted:
                    raise UserError(f"{wrong}the header announces {count} items, but the file ends before")
                yield np.frombuffer(content, np.uint8).reshape(-1, *shape)
            if file.read(1):
                raise UserError(f"{wrong}the header announces {count} items, but more follow")
    except (EOFError, gzip.BadGzipFile, zlib.error, struct.error) as error:
        raise UserError(f"{path} is damaged ({error}): delete data/raw and run `dvc repro`") from None


def count_classes(train_labels: np.ndarray, test_labels: np.ndarray) -> int:
    """The number of classes k; UserError unless both sets have each of the labels 0 … k − 1, and no other."""
    if not len(train_labels) or not len(test_labels):
        raise UserError("the label files name no images: look at data/raw")
    classes = int(train_labels.max()) + 1
    if classes < 2 or np.bincount(train_labels).min() == 1:
        raise UserError(
            f"labels 0 … {classes - 1}: there must be two classes, and two training images of each, or more"
        )
    for name, labels in (("training", train_labels), ("test", test_labels)):
        missing = sorted(set(range(classes)) ^ set(np.unique(labels).tolist()))
        if missing:
            raise UserError(f"the {name} labels should be 0 … {classes - 1}, each at least once; look at {missing}")
    return classes


def stratified_mask(labels: np.ndarray, wanted: int, seed: int) -> np.ndarray:
    """True for the images, `wanted` of them or a sixth if that is less, that validate; each class in proportion."""
    from sklearn.model_selection import train_test_split

    number = min(wanted, len(labels) // LARGEST_VALIDATION_SHARE)
    classes = int(labels.max()) + 1
    if number < classes:
        raise UserError(f"validation: {number} images can't hold each of {classes} classes; ask for more")
    mask = np.zeros(len(labels), bool)
    chosen = train_test_split(np.arange(len(labels)), test_size=number, stratify=labels, random_state=seed)[1]
    mask[chosen] = True
    return mask


def write_splits(folder: Path, name: str, labels: np.ndarray, masks: dict[str, np.ndarray], classes: int) -> np.ndarray:
    """Write the raw set `name` into one folder per mask; return a 64-bit hash of each image, uint64 [n].

    A split has images.npy, float32 [n, 28, 28, 1] in [0, 1]; labels.npy, one-hot float32 [n, classes]; and
    index.npy, the images' places in the raw file, int64 [n].
    """
    hashes = np.zeros(len(labels), np.uint64)
    highest = start = 0
    with ExitStack() as stack:
        files = {}
        for split, mask in masks.items():
            (folder / split).mkdir()
            np.save(folder / split / "labels.npy", np.eye(classes, dtype=np.float32)[labels[mask]])
            np.save(folder / split / "index.npy", np.flatnonzero(mask))
            files[split] = stack.enter_context((folder / split / "images.npy").open("wb"))
            header = np.lib.format.header_data_from_array_1_0(np.empty((0, IMAGE_SIZE, IMAGE_SIZE, 1), np.float32))
            header["shape"] = (int(mask.sum()), *header["shape"][1:])
            np.lib.format.write_array_header_1_0(files[split], header)
        for pixels in read_idx(f"{name}-images-idx3-ubyte"):
            end = start + len(pixels)
            if end > len(labels):
                break
            for split, mask in masks.items():
                normalise(pixels[mask[start:end]]).tofile(files[split])
            hashes[start:end] = [int.from_bytes(blake2b(image, digest_size=8).digest()) for image in pixels]
            highest, start = max(highest, int(pixels.max())), end
    if start != len(labels):
        raise UserError(
            f"{name}: images and labels of {RAW} differ in number, {len(labels)} labels; download them anew"
        )
    if highest < 128:
        raise UserError(f"{name}: the brightest pixel is {highest}; raw pixels should reach up to 255")
    return hashes


def summary(folder: Path) -> dict:
    """What dataset.json says of a split: images, images per class, and mean and deviation of its pixels in [0, 1]."""
    labels = np.load(folder / "labels.npy")
    count = len(labels) * IMAGE_SIZE**2
    total = squares = 0.0
    with (folder / "images.npy").open("rb") as file:  # not mapped: a map's pages stay in memory
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        while len(chunk := np.fromfile(file, np.float32, CHUNK * IMAGE_SIZE**2).astype(np.float64)):
            total, squares = total + chunk.sum(), squares + np.square(chunk).sum()
    mean = total / count
    return {
        "images": len(labels),
        "per_class": labels.sum(axis=0).astype(int).tolist(),
        "mean": round(mean, 6),
        "deviation": round(math.sqrt(squares / count - mean**2), 6),
    }


if __name__ == "__main__":
    run(main)
