"""What the batch tool reads, a thousand images at a time: a folder of images, .npy, IDX (also .gz) or Parquet.

A source has `count` images; `identity`, by which a later run knows that it is unchanged; and `chunks(start)`, which
yields from image `start` on the pixels of the next images, [≤ CHUNK, 28, 28], with None for each image or its fault.
"""

import gzip
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np

from serving.images import ImageError, decode, to_mnist

CHUNK = 1000  # as many as the model takes in a call
SIDE = 28
PIXELS = SIDE * SIDE
SUFFIXES = (".png", ".jpg", ".jpeg")
LARGEST_FILE = 100_000_000  # bytes; a file beyond that isn't read, for the memory's sake

# What NumPy, gzip and pyarrow raise on bytes that aren't what they expect.
DAMAGED = (ValueError, OSError, EOFError, NotImplementedError, zlib.error)

Chunk = tuple[np.ndarray, list[str | None]]


class SourceError(ValueError):
    """An input that can't be scored; the text names the cause and what is allowed."""


def open_source(path: Path):
    """The source of the kind that the path's content is, whatever its name."""
    if path.is_dir():
        return Folder(path)
    if not path.exists():
        raise SourceError(f"{path} doesn't exist")
    with path.open("rb") as file:
        start = file.read(6)
    from serving.batch.parquet import Parquet

    for kind, magics in ((Npy, [b"\x93NUMPY"]), (Parquet, [b"PAR1"]), (Idx, [b"\x1f\x8b", b"\0\0"])):
        if start.startswith(tuple(magics)):
            return kind(path)
    raise SourceError(
        f"{path} can't be scored: a folder of PNG and JPEG images is, and a file in the form of .npy, Parquet or IDX "
        "(also .gz)"
    )


def file_identity(path: Path) -> dict[str, str | int]:
    status = path.stat()
    return {"path": str(path.resolve()), "bytes": status.st_size, "modified": status.st_mtime_ns}


class Folder:
    """PNG and JPEG files in a folder and all below it, in the order of their paths; prepared as the server does it."""

    named_by, can_fail, part = "path", True, 1_000

    def __init__(self, folder: Path):
        self.folder = folder
        found = []
        for parent, _, names in os.walk(folder):
            found += [os.path.join(parent, name) for name in names if name.lower().endswith(SUFFIXES)]
        self.files = sorted(os.path.relpath(file, folder) for file in found)
        self.count = len(self.files)
        if not self.count:
            raise SourceError(f"{folder} holds no image: no file in it or below it ends in {', '.join(SUFFIXES)}")
        digest = sha256()
        for file in self.files:
            status = os.lstat(folder / file)
            digest.update(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\0".encode(errors="surrogateescape"))
        self.identity = {"path": str(folder.resolve()), "files": self.count, "sha256": digest.hexdigest()}

    def names(self, start: int, stop: int) -> list[str]:
        """What names each image in the output; a name that is no UTF-8 gets question marks."""
        return [Path(file).as_posix().encode(errors="replace").decode() for file in self.files[start:stop]]

    def chunks(self, start: int) -> Iterator[Chunk]:
        with ThreadPoolExecutor() as pool:  # Pillow and NumPy let other threads run
            for first in range(start, self.count, CHUNK):
                images, faults = zip(*pool.map(self._read, self.files[first : first + CHUNK]), strict=True)
                yield np.stack(images), list(faults)

    def _read(self, file: str) -> tuple[np.ndarray, str | None]:
        try:
            if (self.folder / file).stat().st_size > LARGEST_FILE:
                raise ImageError(f"the file is too large: at most {LARGEST_FILE // 1_000_000} MB are allowed")
            return to_mnist(decode((self.folder / file).read_bytes())), None
        except ImageError as error:
            return np.zeros((SIDE, SIDE), np.uint8), str(error)
        except OSError as error:
            return np.zeros((SIDE, SIDE), np.uint8), f"the file can't be read: {error.strerror}"


class Rows:
    """A file of equal rows, which their numbers name: what .npy, IDX and Parquet have in common."""

    named_by, can_fail, part = "row", False, 50_000

    def __init__(self, path: Path):
        self.path, self.identity = path, file_identity(path)
        try:
            self.count = self._open()
        except SourceError:
            raise
        except DAMAGED as error:
            raise SourceError(f"{path} can't be read: {error}") from None
        if not self.count:
            raise SourceError(f"{path} holds no image")

    def names(self, start: int, stop: int) -> np.ndarray:
        return np.arange(start, stop)

    def chunks(self, start: int) -> Iterator[Chunk]:
        done = start
        try:
            for pixels in self._read(start):
                yield pixels.reshape(-1, SIDE, SIDE), [None] * len(pixels)
                done += len(pixels)
        except DAMAGED as error:
            raise SourceError(f"{self.path} is damaged or cut short after row {done}: {error}") from None


class Npy(Rows):
    """Numbers 0…255 of any type, [n, 28, 28] or [n, 784]."""

    def _open(self) -> int:
        array = np.load(self.path, mmap_mode="r", allow_pickle=False)
        if array.shape[1:] not in ((SIDE, SIDE), (PIXELS,)) or array.dtype.kind not in "uif":
            raise SourceError(
                f"{self.path} holds {array.dtype} {list(array.shape)}; expected numbers 0…255, [n, 28, 28] or [n, 784]"
            )
        return len(array)

    def _read(self, start: int) -> Iterator[np.ndarray]:
        for first in range(start, self.count, CHUNK):
            # Mapped anew each time: what has been read no longer counts as this process's memory.
            yield np.array(np.load(self.path, mmap_mode="r")[first : first + CHUNK])


class Idx(Rows):
    """MNIST's own format, unsigned bytes [n, 28, 28], as it is or compressed with gzip."""

    def _file(self):
        with self.path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        return gzip.open(self.path) if zipped else self.path.open("rb")

    def _open(self) -> int:
        with self._file() as file:
            header = np.frombuffer(file.read(16), ">u4")
        if header.size < 4 or header[0] != 0x803 or (header[2:] != SIDE).any():
            raise SourceError(f"{self.path} is no IDX file of unsigned bytes [n, 28, 28]")
        return int(header[1])

    def _read(self, start: int) -> Iterator[np.ndarray]:
        with self._file() as file:
            file.seek(16 + start * PIXELS)
            for first in range(start, self.count, CHUNK):
                wanted = min(CHUNK, self.count - first) * PIXELS
                content = file.read(wanted)
                if len(content) < wanted:
                    raise EOFError(f"{self.count} images were announced")
                yield np.frombuffer(content, np.uint8).reshape(-1, PIXELS)
