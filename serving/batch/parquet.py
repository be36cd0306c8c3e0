"""Images in the columns of a Parquet file, as a source of the batch tool."""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pyarrow
from pyarrow import parquet, types

from serving.batch.pictures import SHARD_IMAGES, prepare_or_explain, start_threads
from serving.batch.rows import Rows
from serving.batch.source import Chunk, SourceError
from serving.image_files import require_bytes
from serving.images import ImageError

Kinds = tuple[Callable[[pyarrow.DataType], bool], ...]
LISTS: Kinds = (types.is_list, types.is_large_list, types.is_fixed_size_list)
BYTES: Kinds = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
NUMBERS: Kinds = (types.is_integer, types.is_floating)
FILES_AT_ONCE = 32  # image files in memory before they are prepared; not more, because they may be large


class Parquet(Rows):
    """Images in one column, as lists of numbers, bytes or files; or in columns of numbers, whose names end in 0, 1, ….

    Image files are structs {bytes, path}, as Hugging Face publishes them. Other columns are ignored. A file may have no
    rows, because Spark writes such files.
    """

    def _file(self) -> parquet.ParquetFile:
        # Read page by page, because a row group may be larger than the memory.
        return parquet.ParquetFile(self.file, buffer_size=1 << 16, pre_buffer=False)

    def _open(self) -> int:
        with self._file() as file:
            fields = file.schema_arrow
            files = [field.name for field in fields if is_file(field.type)]
            if not file.metadata.num_rows:  # its columns may have no type: pandas knows none
                self.can_fail = bool(files)
                return 0
            whole = [field.name for field in fields if is_image(field.type)]
            numbers = [field.name for field in fields if is_any(field.type, NUMBERS)]
            pixels = find_pixel_columns(numbers, self.form.shape)
            if len(files) == 1:
                self.columns, self.can_fail, self.shard_images = files, True, SHARD_IMAGES
            elif not files and len(whole) == 1:
                self.columns = whole
            elif not files and not whole and pixels:
                self.columns = pixels
            else:
                raise SourceError(
                    f"{self.path} has {len(files)} columns of image files, {len(whole)} columns of lists or bytes and "
                    f"{len(numbers)} of numbers; expected one of structs {{bytes, path}}, one of lists of "
                    f"{self.values} numbers or of {self.values} bytes, or {self.values} of numbers whose names differ "
                    f"in their number alone, which says the pixel: pixel0 to pixel{self.values - 1}"
                )
            for name in self.columns:
                if (times := fields.names.count(name)) > 1:
                    raise SourceError(
                        f"{self.path} has {times} columns named {name}: rename or remove those without images"
                    )
            return int(file.metadata.num_rows)

    def _check_pixels(self) -> None:
        if self.count and not self.can_fail:
            super()._check_pixels()

    def _read(self, start: int) -> Iterator[Chunk]:
        left, faults = np.empty((0, self.values), np.uint8), list[str | None]()
        for pixels, some_faults in self._read_batches(start):
            left = np.concatenate([left, pixels]) if len(left) else pixels
            faults += some_faults
            while len(left) >= self.chunk_images:
                yield left[: self.chunk_images], faults[: self.chunk_images]
                left, faults = left[self.chunk_images :], faults[self.chunk_images :]
        if len(left):
            yield left, faults

    def _read_batches(self, start: int) -> Iterator[Chunk]:
        """Yield the rows from `start` on as [n, values], in batches as the file gives them."""
        at_once = FILES_AT_ONCE if self.can_fail else self.chunk_images
        with self._file() as file, start_threads() as threads:
            ends = np.cumsum([file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)])
            group = int(np.searchsorted(ends, start, side="right"))  # the row group that has `start`
            row = int(ends[group - 1]) if group else 0
            for batch in file.iter_batches(at_once, range(group, file.num_row_groups), self.columns):
                skipped = min(max(start - row, 0), len(batch))
                # The batch has the columns in the file's order, not in ours.
                rows = batch.select(self.columns).slice(skipped)
                if not self.can_fail:
                    yield as_pixels(rows, row + skipped, self.values), [None] * len(rows)
                elif len(rows):
                    images, faults = zip(*threads.map(self._prepare, rows.column(0).to_pylist()), strict=True)
                    yield np.stack(images).reshape(-1, self.values), list(faults)
                row += len(batch)

    def _prepare(self, file: dict[str, Any] | None) -> tuple[np.ndarray, str | None]:
        return prepare_or_explain(partial(bytes_of, file), self.form)


def bytes_of(file: dict[str, Any] | None) -> bytes:
    """Return the bytes of a row's image file; ImageError if it has none, or too many."""
    if file is None or file["bytes"] is None:
        raise ImageError("the row holds no bytes of an image")
    content: bytes = file["bytes"]
    require_bytes(len(content))
    return content


def is_file(data_type: pyarrow.DataType) -> bool:
    """Return whether a column of this type holds image files as Hugging Face publishes them."""
    return types.is_struct(data_type) and any(
        field.name == "bytes" and is_any(field.type, BYTES) for field in data_type.fields
    )


def is_any(data_type: pyarrow.DataType, kinds: Kinds) -> bool:
    """Return whether a column's type is of one of these kinds."""
    return any(kind(data_type) for kind in kinds)


def is_image(data_type: pyarrow.DataType) -> bool:
    """Return whether a column of this type may hold an image in each row."""
    return is_any(data_type, BYTES) or (is_any(data_type, LISTS) and is_any(data_type.value_type, NUMBERS))


def find_pixel_columns(names: Sequence[str], shape: tuple[int, ...]) -> list[str] | None:
    """Return the names, one per value, that differ only in their numbers, in the values' order; None if it is unknown.

    A single number counts the values, whatever the order of the columns: sorted names begin with pixel0, pixel1,
    pixel10. Two numbers are row and column (1x1 to 28x28), three also the colour, but only if the columns come in that
    order. Otherwise they could be column and row.
    """
    values = math.prod(shape)
    alike = defaultdict(list)
    for name in names:
        alike[re.sub("[0-9]+", "#", name)].append(name)
    groups = [group for group in alike.values() if len(group) == values]
    if len(groups) != 1:
        return None
    numbers = zip(*([int(number) for number in re.findall("[0-9]+", name)] for name in groups[0]), strict=True)
    keys = list(zip(*(place for place in numbers if len(set(place)) > 1), strict=True))
    first = min(keys, default=())  # without any, all names are the same
    if len(first) == 1 and sorted(keys) == [(first[0] + value,) for value in range(values)]:
        return [name for _, name in sorted(zip(keys, groups[0], strict=True))]
    if len(first) == len(shape) and keys == list(
        product(*(range(start, start + side) for start, side in zip(first, shape, strict=True)))
    ):
        return groups[0]
    return None


def as_pixels(batch: pyarrow.RecordBatch, row: int, values: int) -> np.ndarray:
    """Return rows as [n, values], from number `row` on; SourceError, which names the row, if a length is wrong."""
    for column in batch.columns:
        if column.null_count:
            check_rows(np.asarray(column.is_valid()), row, "is null", values)
    if len(batch.columns) == values:
        return np.stack([column.to_numpy() for column in batch.columns], axis=1)
    (column,) = batch.columns
    if is_any(column.type, BYTES):
        rows = column.to_pylist()
        check_rows(
            np.array([len(content) == values for content in rows], bool), row, f"doesn't have {values} bytes", values
        )
        return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, values)
    numbers = column.flatten()
    check_rows(np.asarray(column.value_lengths()) == values, row, f"doesn't have {values} numbers", values)
    if numbers.null_count:
        is_there = np.asarray(numbers.is_valid()).reshape(-1, values)
        check_rows(np.all(is_there, axis=1), row, "has a null among its numbers", values)
    pixels: np.ndarray = numbers.to_numpy()
    return pixels.reshape(-1, values)


def check_rows(good: np.ndarray, first: int, fault: str, values: int) -> None:
    """Raise SourceError, which names the first bad row, unless `good`, bool [n] from row `first` on, is all true."""
    if not good.all():
        raise SourceError(
            f"row {first + int(good.argmin())} of the input {fault}: expected {values} values in each row"
        )
