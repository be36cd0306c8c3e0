"""Write the prepared data: memory-mappable arrays, and their description for dataset.json.

Images are read, written and counted in chunks, so memory use doesn't grow with their number.
"""

import csv
import math
import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.cli import UserError
from pipeline.config.catalogue import WriterTables
from pipeline.config.dataset import PICTURES, Dataset, is_archive
from pipeline.data.archives import gather_files
from pipeline.data.arrays import IntArray
from pipeline.data.groups import count_groups, read_writers, write_groups
from pipeline.data.images import CHUNK_VALUES, NO_PICTURE, Images, LeftOut, read_idx_images, read_pictures
from pipeline.data.pictures import require_no_link
from pipeline.data.pixels import SCALE
from pipeline.data.selection import Selection, select_images
from pipeline.data.splits import (
    SPLITS,
    TEST,
    TRAIN,
    VAL,
    count_validation_images,
    draw_splits,
    draw_validation_mask,
    join_units,
    number_units,
    require_all_classes,
    require_classes,
)
from pipeline.files import sha256_of
from pipeline.paths import Workspace


def prepare(
    workspace: Workspace,
    folder: Path,
    name: str,
    dataset: Dataset,
    validation_images: int,
    seed: int,
    writers: WriterTables | None = None,
) -> dict[str, Any]:
    """Write the splits train, val and test of the data set `name` into `folder`; return its description.

    With tables of `writers`, the images of one writer are a group; splits that are drawn here never divide a group.
    Raise UserError if a file is missing or wrong, or if a classifier can't learn from the images.
    """
    unpacked, pixels = folder / "unpacked", folder / "pixels"
    try:
        source = _find_source(workspace, dataset, unpacked)
        images = read_idx_images(source, dataset) if dataset.form == "idx" else read_pictures(source, dataset, pixels)
        if writers:
            images = replace(images, groups=read_writers(source, writers, images.labels, images.is_test))
        selection = select_images(images, dataset)
        split_of = assign_splits(images, selection, dataset, validation_images, seed)
    except UserError as error:
        # Let the message name the archive instead of the temporary folder with its content.
        raise UserError(str(error).replace(str(unpacked), ", ".join(dataset.files))) from None
    left_out = images.left_out + selection.left_out
    if dataset.form != "idx":
        write_sources(folder / "sources.csv", images, split_of)
    if left_out or dataset.form != "idx":
        write_left_out(folder / "skipped.csv", left_out)
    write_splits(folder, images, split_of, dataset.image_shape)
    has_groups = dataset.has_groups or writers is not None
    if has_groups:
        write_groups(folder, number_units(images.groups), split_of)
    shutil.rmtree(unpacked, ignore_errors=True)
    pixels.unlink(missing_ok=True)
    description = {
        "name": name,
        "classes": len(images.class_names),
        "class_names": list(images.class_names),
        "image_shape": list(dataset.image_shape),
        "resize": dataset.resize,
        "scale": float(SCALE),
        "seed": seed,
        "splits": {split: summarise(folder / split, len(images.class_names)) for split in SPLITS},
        "found": {
            "no_pictures": sum(line.reason == NO_PICTURE for line in images.left_out),
            "broken": sum(line.reason != NO_PICTURE for line in images.left_out),
            "duplicates": selection.duplicates,
            "contradictions": selection.contradictions,
        },
        "sources_sha256": {path.name: sha256_of(path) for path in sorted(workspace.raw.iterdir())},
        "files_sha256": {path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(folder.rglob("*.*"))},
    }
    if has_groups:
        # The number of validation images that was asked for: whole groups rarely add up to exactly that number.
        trained = int((split_of == TRAIN).sum() + (split_of == VAL).sum())
        description["validation_images"] = count_validation_images(validation_images, trained)
    return description


def _find_source(workspace: Workspace, dataset: Dataset, unpacked: Path) -> Path:
    """Return the folder that has the data set's images; unpack archives into `unpacked`, and return that."""
    if dataset.folder is not None:
        source = workspace.root / dataset.folder
        for part in (source, *source.parents):
            require_no_link(part)
            if part.name == PICTURES:
                break
        if not source.is_dir():
            raise UserError(f"there is no folder {source}: make it, or correct the key folder of the data set")
        return source
    if any(map(is_archive, dataset.files)):
        gather_files([workspace.raw / file for file in dataset.files], unpacked)
        return unpacked
    return workspace.raw


def assign_splits(
    images: Images, selection: Selection, dataset: Dataset, validation_images: int, seed: int
) -> IntArray:
    """Return each image's place in SPLITS, int64 [n], or -1 for those that are left out.

    Raise UserError if there are too few images of a class, or if a split would lack a class.
    """
    kept = selection.kept
    labels, is_test = images.labels[kept], images.is_test[kept]
    require_classes(labels, is_test, images.class_names)
    if dataset.form == "idx" and not images.groups:  # keep the published sets, even if equal images are in both
        drawn = np.where(is_test, TEST, TRAIN)
        drawn[~is_test] = np.where(draw_validation_mask(labels[~is_test], validation_images, seed), VAL, TRAIN)
    else:
        units = number_units([images.groups[place] for place in kept.tolist()])
        equal = np.unique(selection.equal[kept], return_inverse=True)[1]
        if dataset.form != "idx" and len(equal) and equal.max() + 1 < len(equal):
            units = join_units(units, equal)
        hashes = images.hashes[kept, 0]
        drawn = draw_splits(labels, is_test, units, hashes, validation_images, dataset.test_share, seed)
    require_all_classes(labels, drawn, images.class_names)
    split_of = np.full(len(images.labels), -1)
    split_of[kept] = drawn
    return split_of


def write_sources(path: Path, images: Images, split_of: IntArray) -> None:
    """Write a line per picture that is in a split; index.npy refers to these lines, counted from 0."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "label", "split", "sha256"))
        for place in np.flatnonzero(split_of >= 0).tolist():
            writer.writerow((images.name(place), images.label(place), SPLITS[split_of[place]], images.digests[place]))


def write_left_out(path: Path, left_out: list[LeftOut]) -> None:
    """Write a line per file or image that is in no split, with the reason."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([LeftOut._fields, *left_out])


def write_splits(folder: Path, images: Images, split_of: IntArray, shape: tuple[int, ...]) -> None:
    """Write the images of each split into its folder; `split_of` has each image's place in SPLITS, or -1.

    A split has images.npy, uint8 [n, height, width, channels]; labels.npy, uint16 [n]; and index.npy, int64 [n], the
    images' places in the raw file or in sources.csv.
    """
    rows = images.rows if images.rows is not None else np.cumsum(split_of >= 0) - 1
    with ExitStack() as stack:
        files = []
        for number, split in enumerate(SPLITS):
            (folder / split).mkdir()
            mask = split_of == number
            np.save(folder / split / "labels.npy", images.labels[mask])
            np.save(folder / split / "index.npy", rows[mask])
            files.append(stack.enter_context((folder / split / "images.npy").open("wb")))
            header = np.lib.format.header_data_from_array_1_0(np.empty((0, *shape), np.uint8))
            header["shape"] = (int(mask.sum()), *shape)
            np.lib.format.write_array_header_1_0(files[-1], header)
        start = 0
        for pixels in images.chunks():
            end = start + len(pixels)
            for number, file in enumerate(files):
                pixels[split_of[start:end] == number].tofile(file)
            start = end


def summarise(folder: Path, classes: int) -> dict[str, Any]:
    """Return a split's entry in dataset.json: images, images per class, mean and deviation of pixels in [0, 1].

    It has the number of groups, too, if the images have groups.
    """
    counts = np.zeros(256, np.int64)  # of each pixel value: whole numbers, so exact for any number of pixels
    with (folder / "images.npy").open("rb") as file:  # not mapped: a map's pages stay in memory
        np.lib.format.read_magic(file)
        shape, _, _ = np.lib.format.read_array_header_1_0(file)
        while len(values := np.fromfile(file, np.uint8, CHUNK_VALUES)):
            counts += np.bincount(values, minlength=256)
    scaled = np.arange(256) * float(SCALE)
    mean = float(counts @ scaled / counts.sum())
    return {
        "images": shape[0],
        "per_class": np.bincount(np.load(folder / "labels.npy"), minlength=classes).tolist(),
        "mean": round(mean, 6),
        "deviation": round(math.sqrt(float(counts @ np.square(scaled) / counts.sum()) - mean**2), 6),
        **count_groups(folder),
    }
