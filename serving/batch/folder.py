"""A folder of image files, as a source of the batch tool."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np

from serving.batch.source import CHUNK_IMAGES, SIDE, Chunk, Source, SourceError
from serving.images import ImageError, decode, to_mnist

SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_FILE_BYTES = 100_000_000  # a larger file isn't read, because it would fill the memory


class Folder(Source):
    """PNG and JPEG files in a folder and all below it, in the order of their paths; prepared as the server does it."""

    name_column, can_fail, shard_images = "path", True, 1_000

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
        """Return the files' paths in the folder; a path that is no UTF-8 gets question marks."""
        return [Path(file).as_posix().encode(errors="replace").decode() for file in self.files[start:stop]]

    def chunks(self, start: int) -> Iterator[Chunk]:
        """Yield the images from `start` on; one that can't be read is zeros, and its fault says why."""
        with ThreadPoolExecutor() as pool:  # Pillow and NumPy let other threads run
            for first in range(start, self.count, CHUNK_IMAGES):
                images, faults = zip(*pool.map(self._read, self.files[first : first + CHUNK_IMAGES]), strict=True)
                yield np.stack(images), list(faults)

    def _read(self, file: str) -> tuple[np.ndarray, str | None]:
        try:
            if (self.folder / file).stat().st_size > MAX_FILE_BYTES:
                raise ImageError(f"the file is too large: at most {MAX_FILE_BYTES // 1_000_000} MB are allowed")
            return to_mnist(decode((self.folder / file).read_bytes())), None
        except ImageError as error:
            return np.zeros((SIDE, SIDE), np.uint8), str(error)
        except OSError as error:
            return np.zeros((SIDE, SIDE), np.uint8), f"the file can't be read: {error.strerror}"
