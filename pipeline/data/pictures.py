"""List a data set's pictures without reading them: one folder per class here, and the types that every form uses."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

from pipeline.cli import UserError
from pipeline.config.dataset import Dataset
from serving.image_files import SUFFIXES

SPLITS = ("train", "test")
# Usual names for the parts of a data set: a folder with such a name is more likely a part than a class.
PARTS = {*SPLITS, "training", "testing", "val", "valid", "validation", "dev", "eval"}
NAMED = 5  # files that a message names; the others are counted


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture before it is read: its path in the data set's folder, its class, its set (test or not), its group."""

    path: str
    label: str
    is_test: bool
    group: str


@dataclass(frozen=True)
class Listing:
    """All pictures of a data set; `read` yields their paths, or the bytes of their files, in the same order.

    `class_names` are the classes in the data's own order; `strays` are the files that are no pictures.
    """

    pictures: list[Picture]
    class_names: tuple[str, ...]
    read: Callable[[], Iterator[Path | bytes]]
    strays: list[str] = field(default_factory=list)


def list_folders(folder: Path, dataset: Dataset) -> Listing:
    """Return the pictures of a data set with one folder per class, at its top or in train/ and test/, sorted by path.

    Raise UserError if the folders are arranged in another way, or if one of them has no picture.
    """
    if dataset.files:
        folder = _find_top(folder)
    names = {name.lower(): name for name in list_subfolders(folder)}
    if not names:
        raise UserError(f"{folder} has no folders: make one per class, with its pictures in it")
    is_split = bool(names.keys() & PARTS)
    if is_split and not ("train" in names and names.keys() <= set(SPLITS)):
        raise UserError(
            f"{folder} has the folders {', '.join(sorted(names.values()))}: name them train and test, or by classes. "
            "Validation images are drawn from those that train, and no class may be called train, test, val or the like"
        )
    pictures, paths, strays = [], [], []
    for path, place in walk(folder):
        parts = place.split("/")
        if len(parts) > 1 + is_split and is_picture(place):
            is_test = is_split and parts[0].lower() == "test"
            pictures.append(Picture(place, parts[is_split], is_test, find_group(place, dataset.group_separator)))
            paths.append(path)
        else:
            strays.append(place)
    for part in names.values() if is_split else ("",):
        _require_pictures(folder, part, pictures, strays)
    class_names = tuple(sorted({picture.label for picture in pictures}))
    return Listing(pictures, class_names, lambda: iter(paths), strays)


def _find_top(folder: Path) -> Path:
    """Return the folder that has the classes: an archive often packs them in a folder of their own."""
    while len(inner := list_subfolders(folder)) == 1 and inner[0].lower() not in PARTS:
        below = folder / inner[0]
        if not list_subfolders(below) or any(is_picture(entry.name) for entry in os.scandir(below)):
            break
        folder = below
    return folder


def _require_pictures(folder: Path, part: str, pictures: list[Picture], strays: list[str]) -> None:
    """Raise UserError unless each class folder in `folder`/`part` has a picture; `part` is train, test or ""."""
    depth = 2 if part else 1
    filled = {tuple(picture.path.split("/")[:depth]) for picture in pictures}
    places = {name: normalize("NFC", f"{part}/{name}".lstrip("/")) for name in list_subfolders(folder / part)}
    if empty := [name for name, place in places.items() if tuple(place.split("/")) not in filled]:
        others = [stray for stray in strays if stray.startswith(f"{places[empty[0]]}/")]
        raise UserError(
            f"{folder / part} has no picture of {name_some(empty)}"
            + (f", but {others[0]} and the like" if others else "")
            + f": put pictures in ({', '.join(SUFFIXES)}), or remove the folder"
        )


def walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file below a folder and its path in the folder, normalised (NFC) and with slashes; sort by that path.

    Skip hidden files and folders, and those that macOS adds to archives. Raise UserError for a link to a folder.
    """
    found: list[tuple[str, str]] = []
    for root, folders, files in os.walk(folder):
        folders[:] = filter(is_visible, folders)
        for name in folders:
            require_no_link(Path(root, name))
        place = "" if root == str(folder) else f"{Path(root).relative_to(folder).as_posix()}/"
        found += [(normalize("NFC", f"{place}{name}"), os.path.join(root, name)) for name in files if is_visible(name)]
    for place, path in sorted(found):
        yield Path(path), place


def require_no_link(folder: Path) -> None:
    """Raise UserError if a folder of pictures is a link: DVC doesn't follow it, so it would miss changes."""
    if folder.is_symlink():
        raise UserError(
            f"{folder} is a link to another folder, in which DVC wouldn't notice changes: move or copy the pictures "
            "to its place, or mount the other folder there"
        )


def list_subfolders(folder: Path) -> list[str]:
    """Return the names of the visible folders in a folder, sorted."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and is_visible(entry.name))


def is_visible(name: str) -> bool:
    return not name.startswith((".", "__MACOSX"))


def is_picture(path: str) -> bool:
    """Return whether a file is a picture by its name's ending."""
    return path.lower().endswith(SUFFIXES)


def find_group(path: str, separator: str | None) -> str:
    """Return the part of a file's name before the first separator; "" if there is no separator."""
    name = path.rpartition("/")[2]
    return name.partition(separator)[0] if separator and separator in name else ""


def name_some(names: list[str]) -> str:
    """Return the first few names, and how many more there are, for a message."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
