"""Files of equal rows, as sources of the batch tool: what they have in common, .npy and IDX."""

import gzip
import zlib
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from serving.batch.source import CHUNK_IMAGES, PIXELS, SIDE, Chunk, Source, SourceError

# What NumPy, gzip and pyarrow raise on bytes that aren't what they expect.
DAMAGED = (ValueError, OSError, EOFError, NotImplementedError, zlib.error)


class Rows(Source):
    """A file of equal rows, which are named by their numbers."""

    name_column, can_fail, shard_images = "row", False, 50_000

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

    @abstractmethod
    def _open(self) -> int:
        """Return the number of images; SourceError, or one of DAMAGED, if the file isn't of this format."""

    @abstractmethod
    def _read(self, start: int) -> Iterator[np.ndarray]:
        """Yield the rows from `start` on, at most CHUNK_IMAGES at a time, [n, 784] or [n, 28, 28]."""

    def names(self, start: int, stop: int) -> np.ndarray:
        """Return the rows' numbers."""
        return np.arange(start, stop)

    def chunks(self, start: int) -> Iterator[Chunk]:
        """Yield the images from `start` on; SourceError, with the row, if the file is damaged."""
        done = start
        try:
            for pixels in self._read(start):
                yield pixels.reshape(-1, SIDE, SIDE), [None] * len(pixels)
                done += len(pixels)
        except DAMAGED as error:
            raise SourceError(f"{self.path} is damaged or cut short after row {done}: {error}") from None


def file_identity(path: Path) -> dict[str, str | int]:
    """Return what changes when a file changes; its content isn't read, which may take minutes."""
    status = path.stat()
    return {"path": str(path.resolve()), "bytes": status.st_size, "modified": status.st_mtime_ns}


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
        for first in range(start, self.count, CHUNK_IMAGES):
            # Mapped again each time: what has been read no longer counts as this process's memory.
            yield np.array(np.load(self.path, mmap_mode="r")[first : first + CHUNK_IMAGES])


class Idx(Rows):
    """MNIST's own format, unsigned bytes [n, 28, 28], as it is or compressed with gzip."""

    def _file(self) -> BinaryIO:
        with self.path.open("rb") as file:
            is_zipped = file.read(2) == b"\x1f\x8b"
        return cast(BinaryIO, gzip.open(self.path)) if is_zipped else self.path.open("rb")

    def _open(self) -> int:
        with self._file() as file:
            header = np.frombuffer(file.read(16), ">u4")
        if header.size < 4 or header[0] != 0x803 or (header[2:] != SIDE).any():
            raise SourceError(f"{self.path} is no IDX file of unsigned bytes [n, 28, 28]")
        return int(header[1])

    def _read(self, start: int) -> Iterator[np.ndarray]:
        with self._file() as file:
            file.seek(16 + start * PIXELS)
            for first in range(start, self.count, CHUNK_IMAGES):
                wanted = min(CHUNK_IMAGES, self.count - first) * PIXELS
                content = file.read(wanted)
                if len(content) < wanted:
                    raise EOFError(f"the header says {self.count} images")
                yield np.frombuffer(content, np.uint8).reshape(-1, PIXELS)
