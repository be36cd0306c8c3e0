"""A folder of image files, as a source of the batch tool."""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np

from serving.batch.pictures import SHARD_IMAGES, prepare_or_explain, start_threads
from serving.batch.source import Chunk, Identity, Source, SourceError, stamp
from serving.image_files import SUFFIXES, read_image_file
from serving.images import Form

SHOWN_ENDINGS = 5  # of skipped files, in the note


class Folder(Source):
    """Image files in a folder and all folders below it, sorted by path; prepared as for training."""

    name_column, can_fail, shard_images = "path", True, SHARD_IMAGES

    def __init__(self, folder: Path, form: Form, chunk_images: int):
        self.path, self.form, self.chunk_images = folder, form, chunk_images
        self.files, others = list_images(folder)
        self.count = len(self.files)
        if not self.count:
            shards = "; Parquet files are scored into a folder: name one as OUTPUT" if others[".parquet"] else ""
            raise SourceError(
                f"{folder} holds no image: no file in it or below it ends in {', '.join(SUFFIXES)}{shards}"
            )
        self.note = describe_endings(others)
        self.identity = self._identity_of(self.files)

    def names(self, start: int, stop: int) -> list[str]:
        """Return the files' paths relative to the folder, with question marks for what isn't valid UTF-8."""
        return [Path(file).as_posix().encode(errors="replace").decode() for file in self.files[start:stop]]

    def chunks(self, start: int) -> Iterator[Chunk]:
        """Yield the images from `start` on; an image that can't be read is all zeros, and its fault says why."""
        with start_threads() as threads:
            for first in range(start, self.count, self.chunk_images):
                prepared = threads.map(self._prepare, self.files[first : first + self.chunk_images])
                images, faults = zip(*prepared, strict=True)
                yield np.stack(images), list(faults)

    def read_identity(self) -> Identity:
        """Return the identity of the files that are there now."""
        return self._identity_of(list_images(self.path)[0])

    def _identity_of(self, files: list[str]) -> Identity:
        digest = sha256()
        for file in files:
            try:
                known = stamp(os.stat(self.path / file))  # of a link's target, not of the link
            except OSError:
                known = []
            digest.update(f"{file}\0{known}\0".encode(errors="surrogateescape"))
        return {"path": str(self.path.resolve()), "files": len(files), "sha256": digest.hexdigest()}

    def _prepare(self, file: str) -> tuple[np.ndarray, str | None]:
        return prepare_or_explain(partial(read_image_file, self.path / file), self.form)


def list_images(folder: Path) -> tuple[list[str], Counter[str]]:
    """Return the paths of the images in the folder, sorted, and how many other files have each ending."""
    images, others = [], Counter[str]()
    for file in find_files(str(folder), frozenset()):
        if file.lower().endswith(SUFFIXES):
            images.append(os.path.relpath(file, folder))
        else:
            others[Path(file).suffix.lower()] += 1
    return sorted(images), others


def find_files(folder: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    """Yield the files in a folder and below it, also behind links; `above` has (device, inode) of the folders above it.

    Raises SourceError for a link to a folder above, and for a folder that can't be read: its images would be missing
    without a message.
    """
    try:
        status = os.stat(folder)
        this = (status.st_dev, status.st_ino)
        if this in above:
            raise SourceError(f"{folder} is a link to a folder that it lies in: remove the link")
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_folder(entry):
                    yield from find_files(entry.path, above | {this})
                else:
                    yield entry.path
    except OSError as error:
        raise SourceError(
            f"{error.filename or folder} can't be read ({error.strerror}), and may hold images: make it readable, or "
            "move it away"
        ) from None


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder or a link to one; OSError for a broken link that may mean a folder."""
    if not entry.is_symlink():
        return entry.is_dir()
    try:
        return stat.S_ISDIR(os.stat(entry.path).st_mode)
    except OSError:
        if entry.name.lower().endswith(SUFFIXES):
            return False  # later an image that can't be read
        raise


def describe_endings(others: Counter[str]) -> str:
    """Return in words how many files have endings that aren't those of images; "" if there are none."""
    if not others:
        return ""
    shown = [f"{count:,} {ending or 'without an ending'}" for ending, count in others.most_common(SHOWN_ENDINGS)]
    rest = ["…"] if len(others) > SHOWN_ENDINGS else []
    count = others.total()
    files = "1 file that isn't" if count == 1 else f"{count:,} files that aren't"
    return f"passed over: {files} {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}: {', '.join(shown + rest)}"
