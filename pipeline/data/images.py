"""All images of a data set as arrays, whatever its form is: the input for preparing, comparing and splitting."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

import numpy as np

from pipeline.cli import UserError
from pipeline.config.dataset import Dataset
from pipeline.data.arrays import BoolArray, IntArray, UInt8Array, UInt16Array, UInt64Array
from pipeline.data.decoding import decode_pictures
from pipeline.data.equality import hash_images
from pipeline.data.idx import read_idx, read_labels
from pipeline.data.pictures import Listing, list_folders, name_some
from pipeline.data.tables import list_csv, list_parquet
from serving.images import Form

LISTINGS = {"folders": list_folders, "csv": list_csv, "parquet": list_parquet}
IDX_SETS = ("train", "t10k")
CHUNK_VALUES = 3_000_000  # pixel values that are read at a time
MAX_CLASSES = 65_536
NO_PICTURE = "no picture"


class LeftOut(NamedTuple):
    """A file or image that doesn't get into a split."""

    path: str
    label: str
    reason: str


@dataclass(frozen=True)
class Images:
    """The n images of a data set: class numbers, uint16 [n]; which are for testing, bool [n]; hashes, uint64 [n, 2].

    `chunks` yields their pixels in order, uint8 [some, height, width] or [some, height, width, 3]; `name` returns an
    image's name by its place. `rows` has the places of IDX images in their file; `groups` has the group of each
    picture, or the writer of each IDX image if known. For pictures, `digests` has the sha256 of each file, and
    `left_out` lists the files that aren't among the n images.
    """

    class_names: tuple[str, ...]
    labels: UInt16Array
    is_test: BoolArray
    hashes: UInt64Array
    chunks: Callable[[], Iterator[UInt8Array]]
    name: Callable[[int], str]
    rows: IntArray | None = None
    groups: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def label(self, place: int) -> str:
        """Return the name of an image's class."""
        return self.class_names[int(self.labels[place])]

    def describe(self, place: int) -> str:
        """Return an image's name, class and set for a message about a contradiction."""
        return f"{self.name(place)} ({self.label(place)}{', test' if self.is_test[place] else ''})"


def read_idx_images(folder: Path, dataset: Dataset) -> Images:
    """Return the images of MNIST's four files; each call of `chunks` reads the files again.

    Raise UserError if a file is missing or wrong, or if images and labels don't belong together.
    """
    sets = {name: read_labels(folder, name) for name in IDX_SETS}
    for name, numbers in sets.items():
        if not len(numbers):
            raise UserError(f"the label file of {name} names no images: look at {folder}")
    highest = max(int(numbers.max()) for numbers in sets.values())
    names = dataset.class_names or tuple(map(str, range(highest + 1)))
    if highest >= len(names):
        raise UserError(
            f"class_names has {len(names)} names, for the labels 0 … {len(names) - 1}, but the largest label is "
            f"{highest}: write a name for each label"
        )
    rows = np.concatenate([np.arange(len(numbers)) for numbers in sets.values()])
    chunk = max(1, CHUNK_VALUES // (dataset.height * dataset.width))

    def read_set(name: str) -> Iterator[UInt8Array]:
        return read_idx(folder, f"{name}-images-idx3-ubyte", (dataset.height, dataset.width), chunk)

    return Images(
        class_names=names,
        labels=np.concatenate(list(sets.values())).astype(np.uint16),
        is_test=np.repeat([False, True], [len(numbers) for numbers in sets.values()]),
        hashes=np.concatenate([_hash_set(name, read_set(name), len(numbers)) for name, numbers in sets.items()]),
        rows=rows,
        chunks=lambda: (pixels for name in IDX_SETS for pixels in read_set(name)),
        name=lambda place: f"{IDX_SETS[place >= len(sets['train'])]} image {rows[place]}",
    )


def _hash_set(name: str, chunks: Iterator[UInt8Array], labels: int) -> UInt64Array:
    """Return the hashes of one set's images; raise UserError unless there are `labels` images and a bright pixel."""
    from tqdm import tqdm

    hashes, highest = [np.zeros((0, 2), np.uint64)], 0
    with tqdm(total=labels, unit=" images", unit_scale=True, disable=None, delay=2) as bar:
        for pixels in chunks:
            hashes.append(hash_images(pixels))
            highest = max(highest, int(pixels.max()))
            bar.update(len(pixels))
    count = sum(map(len, hashes))
    if count != labels:
        raise UserError(
            f"{name}: {count} images and {labels} labels differ in number: get the four files of one data set; "
            "for published files, delete data/raw and run `dvc repro`, which downloads them again"
        )
    if highest < 128:
        raise UserError(f"{name}: the brightest pixel is {highest}; raw pixels should reach up to 255")
    return np.concatenate(hashes)


def read_pictures(folder: Path, dataset: Dataset, pixels: Path) -> Images:
    """Decode the pictures of `folder` into the file `pixels`; return those that can be read.

    Raise UserError if the folder hasn't the data set's form, if its `group_separator` is in no file name, or if a
    picture can't be read and `broken` is `refuse`.
    """
    listing = LISTINGS[dataset.form](folder, dataset)
    if dataset.group_separator and not any(picture.group for picture in listing.pictures):
        raise UserError(
            f"no picture's file name has the group_separator {dataset.group_separator!r}, so none would be kept "
            "together: write the one that the names have, or remove the key"
        )
    numbers = _number_classes(listing, dataset)
    form = Form(dataset.height, dataset.width, dataset.channels, dataset.resize)
    decoded = decode_pictures(listing.read(), len(listing.pictures), form, pixels)
    broken = [(listing.pictures[place], fault) for place, fault in decoded.faults.items()]
    if broken and dataset.broken == "refuse":
        raise UserError(
            f"{len(broken)} pictures can't be read; remove them, or write broken: skip. They are "
            f"{name_some([f'{picture.path} ({fault})' for picture, fault in broken])}"
        )
    pictures = [picture for place, picture in enumerate(listing.pictures) if place not in decoded.faults]
    if len(decoded.hashes) != len(pictures):
        raise UserError(f"{folder} changed while it was read: run `dvc repro` again")
    return Images(
        class_names=tuple(numbers),
        labels=np.array([numbers[picture.label] for picture in pictures], np.uint16),
        is_test=np.array([picture.is_test for picture in pictures], bool),
        hashes=decoded.hashes,
        chunks=lambda: _read_pixels(pixels, form.shape),
        name=lambda place: pictures[place].path,
        groups=[picture.group for picture in pictures],
        digests=decoded.sha256,
        left_out=[
            *(LeftOut(picture.path, picture.label, f"broken: {fault}") for picture, fault in broken),
            *(LeftOut(path, "", NO_PICTURE) for path in listing.strays),
        ],
    )


def _read_pixels(path: Path, shape: tuple[int, ...]) -> Iterator[UInt8Array]:
    values = int(np.prod(shape))
    count = max(1, CHUNK_VALUES // values) * values
    with path.open("rb") as file:
        while len(content := np.fromfile(file, np.uint8, count)):
            yield content.reshape(-1, *shape)


def _number_classes(listing: Listing, dataset: Dataset) -> dict[str, int]:
    """Return each class's number by its name; raise UserError if class_names lacks a class, or there are too many."""
    names = tuple(normalize("NFC", name) for name in dataset.class_names) or listing.class_names
    if lacking := sorted({picture.label for picture in listing.pictures} - set(names)):
        raise UserError(
            f"class_names lacks {name_some(lacking)}: write all classes of the data, or leave class_names out"
        )
    if len(names) > MAX_CLASSES:
        raise UserError(
            f"there are {len(names)} classes, such as {name_some(list(names))}; at most {MAX_CLASSES} are allowed"
        )
    return {name: number for number, name in enumerate(names)}
