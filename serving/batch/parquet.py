"""Images in the columns of a Parquet file, as a source of the batch tool."""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow
from pyarrow import parquet, types

from serving.batch.rows import Rows
from serving.batch.source import CHUNK_IMAGES, PIXELS, SourceError

Kinds = tuple[Callable[[pyarrow.DataType], bool], ...]
LISTS: Kinds = (types.is_list, types.is_large_list, types.is_fixed_size_list)
BYTES: Kinds = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
NUMBERS: Kinds = (types.is_integer, types.is_floating)


class Parquet(Rows):
    """One column of lists of 784 numbers or of 784 bytes, or 784 columns of numbers.

    Other columns beside the one, and a column named label beside the 784, are ignored.
    """

    def _file(self) -> parquet.ParquetFile:
        # Page by page: a row group may be larger than memory.
        return parquet.ParquetFile(self.path, buffer_size=1 << 16, pre_buffer=False)

    def _open(self) -> int:
        with self._file() as file:
            fields = file.schema_arrow
            whole = [field.name for field in fields if is_any(field.type, LISTS + BYTES)]
            numbers = [field.name for field in fields if is_any(field.type, NUMBERS) and field.name != "label"]
            if len(whole) == 1:
                self.columns = whole
            elif not whole and len(numbers) == PIXELS:
                self.columns = numbers
            else:
                raise SourceError(
                    f"{self.path} has {len(whole)} columns of lists or bytes and {len(numbers)} of numbers; expected "
                    f"one of lists of {PIXELS} numbers or of {PIXELS} bytes, or {PIXELS} of numbers"
                )
            return int(file.metadata.num_rows)

    def _read(self, start: int) -> Iterator[np.ndarray]:
        with self._file() as file:
            ends = np.cumsum([file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)])
            group = int(np.searchsorted(ends, start, side="right"))  # the one that `start` lies in
            skipped = start - (int(ends[group - 1]) if group else 0)
            left = np.empty((0, PIXELS), np.uint8)
            for batch in file.iter_batches(CHUNK_IMAGES, range(group, file.num_row_groups), self.columns):
                pixels = as_pixels(batch.slice(skipped))
                skipped = max(skipped - len(batch), 0)
                left = np.concatenate([left, pixels]) if len(left) else pixels
                while len(left) >= CHUNK_IMAGES:
                    yield left[:CHUNK_IMAGES]
                    left = left[CHUNK_IMAGES:]
            if len(left):
                yield left


def is_any(data_type: pyarrow.DataType, kinds: Kinds) -> bool:
    """Return whether a column's type is of one of these kinds."""
    return any(kind(data_type) for kind in kinds)


def as_pixels(batch: pyarrow.RecordBatch) -> np.ndarray:
    """Return rows as [n, 784]; ValueError if one has not 784 numbers."""
    if any(column.null_count for column in batch.columns):
        raise ValueError("a value is null")
    if len(batch.columns) == PIXELS:
        return np.stack([column.to_numpy() for column in batch.columns], axis=1)
    (column,) = batch.columns
    if is_any(column.type, BYTES):
        rows = column.to_pylist()
        if any(len(row) != PIXELS for row in rows):
            raise ValueError(f"a row hasn't {PIXELS} bytes")
        return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, PIXELS)
    values = column.flatten()
    if any(length != PIXELS for length in column.value_lengths().to_pylist()):
        raise ValueError(f"a row hasn't {PIXELS} numbers")
    if values.null_count or not is_any(values.type, NUMBERS):
        raise ValueError("a row holds something else than numbers")
    pixels: np.ndarray = values.to_numpy()
    return pixels.reshape(-1, PIXELS)
