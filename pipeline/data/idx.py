"""The IDX format, in which MNIST is published: the pipeline's one reader and one writer.

Two zero bytes, 8 for unsigned bytes, the number of dimensions, their sizes as big-endian uint32, the values.
"""

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.cli import UserError
from pipeline.data.arrays import UInt8Array

CHUNK = 4096  # items at a time, unless the caller says otherwise


def read_idx(folder: Path, name: str, size: tuple[int, ...] = (), chunk: int = CHUNK) -> Iterator[UInt8Array]:
    """Yield the items of the file `name` in `folder`, compressed by gzip or not, at most `chunk` at a time.

    Chunks are uint8 [n, *size]; `size` is (height, width) for images and () for labels. Raise UserError for a missing
    or damaged file, another magic number or size, and for fewer or more bytes than the header announces.
    """
    path = next((p for p in (folder / f"{name}.gz", folder / name) if p.exists()), None)
    if path is None:
        raise UserError(f"{folder / name}[.gz] is missing: `dvc repro` downloads published files; put your own there")
    dimensions = 1 + len(size)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            magic = file.read(4)
            if magic != bytes((0, 0, 8, dimensions)):
                raise _format_error(path, f"magic number {magic.hex()}, not 000008{dimensions:02x}")
            count, *shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
            if tuple(shape) != size:
                given, expected = ("×".join(map(str, sides)) for sides in (shape, size))
                raise _format_error(path, f"images of {given} pixels, not {expected}")
            values = math.prod(shape)
            for start in range(0, count, chunk):
                wanted = min(chunk, count - start) * values
                content = file.read(wanted)
                if len(content) < wanted:
                    raise _format_error(path, f"the header announces {count} items, but the file ends before")
                yield np.frombuffer(content, np.uint8).reshape(-1, *shape)
            if file.read(1):
                raise _format_error(path, f"the header announces {count} items, but more follow")
    except (EOFError, gzip.BadGzipFile, zlib.error, struct.error) as error:
        raise UserError(f"{path} is damaged ({error}): delete data/raw and run `dvc repro`") from None


def read_labels(folder: Path, name: str) -> UInt8Array:
    """Return all labels of the set `name`, train or t10k: uint8 [n]."""
    return np.concatenate([np.zeros(0, np.uint8), *read_idx(folder, f"{name}-labels-idx1-ubyte")])


def write_idx(path: Path, values: UInt8Array) -> None:
    """Write a uint8 array of any shape, uncompressed."""
    header = struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(header + values.tobytes())


def _format_error(path: Path, fault: str) -> UserError:
    return UserError(f"{path} is not MNIST's format: {fault}")
