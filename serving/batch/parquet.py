"""Images in the columns of a Parquet file, as a source of the batch tool."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
import pyarrow
from pyarrow import parquet, types

from serving.batch.rows import Rows
from serving.batch.source import CHUNK_IMAGES, PIXELS, SIDE, SourceError

Kinds = tuple[Callable[[pyarrow.DataType], bool], ...]
LISTS: Kinds = (types.is_list, types.is_large_list, types.is_fixed_size_list)
BYTES: Kinds = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
NUMBERS: Kinds = (types.is_integer, types.is_floating)


class Parquet(Rows):
    """One column of lists of 784 numbers or of 784 bytes, or 784 columns of numbers whose names end in 0 to 783.

    Other columns beside them are ignored.
    """

    def _file(self) -> parquet.ParquetFile:
        # Page by page: a row group may be larger than memory.
        return parquet.ParquetFile(self.file, buffer_size=1 << 16, pre_buffer=False)

    def _open(self) -> int:
        with self._file() as file:
            fields = file.schema_arrow
            whole = [field.name for field in fields if is_image(field.type)]
            numbers = [field.name for field in fields if is_any(field.type, NUMBERS)]
            pixels = find_pixel_columns(numbers)
            if len(whole) == 1:
                self.columns = whole
            elif not whole and pixels:
                self.columns = pixels
            else:
                raise SourceError(
                    f"{self.path} has {len(whole)} columns of lists or bytes and {len(numbers)} of numbers; expected "
                    f"one of lists of {PIXELS} numbers or of {PIXELS} bytes, or {PIXELS} of numbers whose names differ "
                    f"in their number alone, which says the pixel: pixel0 to pixel{PIXELS - 1}"
                )
            return int(file.metadata.num_rows)

    def _read(self, start: int) -> Iterator[np.ndarray]:
        with self._file() as file:
            ends = np.cumsum([file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)])
            group = int(np.searchsorted(ends, start, side="right"))  # the one that `start` lies in
            row = int(ends[group - 1]) if group else 0
            left = np.empty((0, PIXELS), np.uint8)
            for batch in file.iter_batches(CHUNK_IMAGES, range(group, file.num_row_groups), self.columns):
                skipped = min(max(start - row, 0), len(batch))
                # Columns come in the file's order.
                pixels = as_pixels(batch.select(self.columns).slice(skipped), row + skipped)
                row += len(batch)
                left = np.concatenate([left, pixels]) if len(left) else pixels
                while len(left) >= CHUNK_IMAGES:
                    yield left[:CHUNK_IMAGES]
                    left = left[CHUNK_IMAGES:]
            if len(left):
                yield left


def is_any(data_type: pyarrow.DataType, kinds: Kinds) -> bool:
    """Return whether a column's type is of one of these kinds."""
    return any(kind(data_type) for kind in kinds)


def is_image(data_type: pyarrow.DataType) -> bool:
    """Return whether a column of this type may hold an image in each row."""
    return is_any(data_type, BYTES) or (is_any(data_type, LISTS) and is_any(data_type.value_type, NUMBERS))


def find_pixel_columns(names: Sequence[str]) -> list[str] | None:
    """Return the 784 names that differ in their numbers alone, in the pixels' order; None if that can't be known.

    One number counts pixels, in whatever order the columns come: sorted names begin with pixel0, pixel1, pixel10.
    Two are row and column (1x1 to 28x28) if the columns come in that order; else they may as well be column and row.
    """
    alike = defaultdict(list)
    for name in names:
        alike[re.sub("[0-9]+", "#", name)].append(name)
    groups = [group for group in alike.values() if len(group) == PIXELS]
    if len(groups) != 1:
        return None
    numbers = zip(*([int(number) for number in re.findall("[0-9]+", name)] for name in groups[0]), strict=True)
    keys = list(zip(*(place for place in numbers if len(set(place)) > 1), strict=True))
    first = min(keys, default=())  # without any, all names are the same
    if len(first) == 1 and sorted(keys) == [(first[0] + pixel,) for pixel in range(PIXELS)]:
        return [name for _, name in sorted(zip(keys, groups[0], strict=True))]
    if len(first) == 2 and keys == [
        (first[0] + row, first[1] + column) for row, column in product(range(SIDE), repeat=2)
    ]:
        return groups[0]
    return None


def as_pixels(batch: pyarrow.RecordBatch, row: int) -> np.ndarray:
    """Return rows as [n, 784], of which the first is `row`; SourceError, with the row, if one has not 784 numbers."""
    for column in batch.columns:
        if column.null_count:
            check_rows(np.asarray(column.is_valid()), row, "is null")
    if len(batch.columns) == PIXELS:
        return np.stack([column.to_numpy() for column in batch.columns], axis=1)
    (column,) = batch.columns
    if is_any(column.type, BYTES):
        rows = column.to_pylist()
        check_rows(np.array([len(content) == PIXELS for content in rows], bool), row, f"hasn't {PIXELS} bytes")
        return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, PIXELS)
    values = column.flatten()
    check_rows(np.asarray(column.value_lengths()) == PIXELS, row, f"hasn't {PIXELS} numbers")
    if values.null_count:
        is_there = np.asarray(values.is_valid()).reshape(-1, PIXELS)
        check_rows(np.all(is_there, axis=1), row, "has a null among its numbers")
    pixels: np.ndarray = values.to_numpy()
    return pixels.reshape(-1, PIXELS)


def check_rows(good: np.ndarray, first: int, fault: str) -> None:
    """Raise SourceError, which names the row, if one of the rows from `first` on isn't good; `good` is bool [n]."""
    if not good.all():
        raise SourceError(f"row {first + int(good.argmin())} of the input {fault}: expected {PIXELS} numbers in each")
