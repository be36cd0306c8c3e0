"""Files of equal rows, as sources of the batch tool: their common base class, .npy and IDX."""

import gzip
import math
import os
import zlib
from abc import abstractmethod
from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO, Literal, cast

import numpy as np

from serving.batch.source import Chunk, Identity, Source, SourceError, stamp
from serving.images import Form

# What NumPy, gzip and pyarrow raise on damaged files.
DAMAGED = (ValueError, OSError, EOFError, NotImplementedError, zlib.error)

# Of 255: if no pixel of a file exceeds this, it has another scale (0…1, for ink also 0…16), or all images are blank.
FAINT, FAINT_INK = 1, 16
SCALE, INK_SCALE = "0 (dark) to 255 (light)", "0 (background) to 255 (ink)"


class Rows(Source):
    """A file of rows of equal length; a row's name is its number."""

    name_column, can_fail, shard_images = "row", False, 50_000

    def __init__(self, path: Path, form: Form, chunk_images: int):
        self.path, self.form, self.chunk_images = path, form, chunk_images
        self.values = math.prod(form.shape)
        # It stays open until the end, so that a file that takes its name meanwhile isn't read.
        self.file = path.open("rb")
        status = os.fstat(self.file.fileno())
        self.bytes, self.identity = status.st_size, self._identity_of(status)
        try:
            self.count = self._open()
        except SourceError:
            raise
        except DAMAGED as error:
            raise SourceError(f"{path} can't be read: {error}") from None
        self._check_pixels()

    @abstractmethod
    def _open(self) -> int:
        """Return the number of images; SourceError, or one of DAMAGED, if the file isn't of this format."""

    @abstractmethod
    def _read(self, start: int) -> Iterator[Chunk]:
        """Yield the rows from `start` on, `chunk_images` at a time, in any shape that keeps the order of the values."""

    def names(self, start: int, stop: int) -> np.ndarray:
        """Return the rows' numbers."""
        return np.arange(start, stop)

    def chunks(self, start: int) -> Iterator[Chunk]:
        """Yield the images from `start` on; SourceError, with the row, if the file is damaged, or if it changed."""
        done = start
        try:
            for pixels, faults in self._read(start):
                self.check_unchanged()  # early, because a change makes the whole run useless
                yield pixels.reshape(-1, *self.form.shape), faults
                done += len(faults)
        except SourceError:
            raise
        except DAMAGED as error:
            self.check_unchanged()
            raise SourceError(f"{self.path} is damaged or cut short after row {done}: {error}") from None

    def read_identity(self) -> Identity:
        """Return the identity of the file that has the path now."""
        return self._identity_of(self.path.stat())

    def _identity_of(self, status: os.stat_result) -> Identity:
        size, modified, inode = stamp(status)
        return {"path": str(self.path.resolve()), "bytes": size, "modified": modified, "inode": inode}

    def _check_pixels(self) -> None:
        """Raise SourceError if there are none, or if all are faint: scaled to 0…1, the network sees blank images.

        Reads up to the first chunk with a stronger pixel, which is nearly always the first one. Sets `note` if that
        chunk's drawings look dark on light: this isn't certain, so it is no error.
        """
        if not self.count:
            raise SourceError(f"{self.path} holds no image")
        is_ink = self.form.resize == "ink"
        largest, faint, scale = 0.0, *((FAINT_INK, INK_SCALE) if is_ink else (FAINT, SCALE))
        for pixels, _ in self.chunks(0):
            largest = max(largest, float(pixels.max()))
            if not pixels.max() <= faint:  # a NaN isn't faint: it is reported later, with its rows
                if not is_ink:
                    return
                edges = np.concatenate([pixels[:, [0, -1]].ravel(), pixels[:, :, [0, -1]].ravel()])
                if np.median(edges) > 127:
                    self.note = (
                        f"look at {self.path}: the edges of its images are light, but 0 is background and 255 is ink; "
                        "invert drawings that are dark on light"
                    )
                return
        raise SourceError(
            f"no pixel of {self.path} exceeds {largest:g}: expected numbers from {scale}; "
            "multiply numbers that are scaled to 0…1 by 255"
        )


class Npy(Rows):
    """Numbers 0…255 of any type, [n, *form.shape], [n, values], or grey with a channel, [n, height, width, 1]."""

    def _open(self) -> int:
        array = np.load(self.path, mmap_mode="r", allow_pickle=False)
        self.check_unchanged()  # NumPy has opened the path again, which may be another file now
        form = self.form
        shapes = (form.shape, (self.values,), (form.height, form.width, form.channels))
        if array.shape[1:] not in shapes or array.dtype.kind not in "uif":
            sides = ", ".join(map(str, form.shape))
            raise SourceError(
                f"{self.path} holds {array.dtype} {list(array.shape)}; expected numbers 0…255, [n, {sides}] or "
                f"[n, {self.values}]"
            )
        if array.offset + array.nbytes != self.bytes:
            raise SourceError(f"{self.path} holds more than one array: more bytes follow; save each to its own file")
        self.shape, self.dtype, self.offset = array.shape, array.dtype, array.offset
        self.order: Literal["C", "F"] = "C" if array.flags.c_contiguous else "F"
        return len(array)

    def _read(self, start: int) -> Iterator[Chunk]:
        for first in range(start, self.count, self.chunk_images):
            # Map the file again for each chunk, so that what was read no longer counts as this process's memory.
            content = mmap(self.file.fileno(), self.bytes, access=ACCESS_READ)
            array = np.ndarray(self.shape, self.dtype, content, self.offset, order=self.order)
            pixels = array[first : first + self.chunk_images].copy()
            yield pixels, [None] * len(pixels)


class Idx(Rows):
    """MNIST's own format, unsigned bytes [n, height, width], as it is or compressed with gzip."""

    def _open(self) -> int:
        self.is_zipped = self.file.read(2) == b"\x1f\x8b"
        content = self._rewound().read(16)
        header = np.frombuffer(content, ">u4") if len(content) == 16 else np.zeros(4)
        sides = self.form.height, self.form.width
        if header[0] != 0x803 or tuple(header[2:]) != sides or self.form.channels != 1:
            raise SourceError(
                f"{self.path} is no IDX file of unsigned bytes [n, {sides[0]}, {sides[1]}]"
                + ("" if self.form.channels == 1 else ", and the model takes colour, which IDX files don't hold")
            )
        count = int(header[1])
        expected = 16 + count * self.values
        if not self.is_zipped and self.bytes != expected:
            raise SourceError(
                f"{self.path} is damaged: its header announces {count:,} images, which are {expected:,} "
                f"bytes, but it has {self.bytes:,}"
            )
        return count

    def _rewound(self) -> BinaryIO:
        """Return the content, decompressed, from its beginning."""
        self.file.seek(0)
        return cast(BinaryIO, gzip.GzipFile(fileobj=self.file)) if self.is_zipped else self.file

    def _read(self, start: int) -> Iterator[Chunk]:
        file = self._rewound()
        file.seek(16 + start * self.values)
        for first in range(start, self.count, self.chunk_images):
            images = min(self.chunk_images, self.count - first)
            content = file.read(images * self.values)
            if len(content) < images * self.values:
                raise EOFError(f"its header announces {self.count:,} images")
            # Check the end of the file before the last chunk is yielded; gzip compares its checksum here.
            if first + self.chunk_images >= self.count and file.read(1):
                raise SourceError(
                    f"{self.path} is damaged: its header announces {self.count:,} images, but more follow"
                )
            yield np.frombuffer(content, np.uint8), [None] * images
