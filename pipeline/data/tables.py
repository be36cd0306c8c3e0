"""List a data set's pictures in tables: CSV files of paths and labels, and Parquet as Hugging Face publishes images."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from pipeline.cli import UserError, first_line
from pipeline.config.dataset import Dataset
from pipeline.data.pictures import Listing, Picture, find_group, name_some, walk

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.parquet import ParquetFile

ROWS = 256  # read at a time


def list_csv(folder: Path, dataset: Dataset) -> Listing:
    """Return the pictures that the tables in `folder` name, sorted by path; paths are relative to their table.

    Raise UserError if a table lacks a column or a value, or names a file that isn't in the folder.
    """
    found, wanted = [], _columns(dataset, "path")
    for table, place in _find_tables(folder, ".csv"):
        for line, row in _read_rows(table, wanted):
            path, label, *group = (normalize("NFC", row[column].strip()) for column in wanted)
            if not path or not label:
                raise UserError(f"{table}, line {line}: {wanted[0]} and {wanted[1]} should not be empty")
            own = _resolve_place(place, path, f"{table}, line {line}")
            found.append(
                Picture(own, label, _is_test(table), group[0] if group else find_group(own, dataset.group_separator))
            )
    found.sort(key=lambda picture: picture.path)
    paths = {place: path for path, place in walk(folder)}
    if missing := [picture.path for picture in found if picture.path not in paths]:
        raise UserError(f"the tables of {folder} name files that aren't there: {name_some(missing)}")
    named = {picture.path for picture in found}
    strays = [place for place in paths if place not in named and not place.lower().endswith(".csv")]
    class_names = tuple(sorted({picture.label for picture in found}))
    return Listing(found, class_names, lambda: (paths[picture.path] for picture in found), strays)


def list_parquet(folder: Path, dataset: Dataset) -> Listing:
    """Return the pictures inside the Parquet files of `folder`, ordered by file name and then by row.

    Labels are text, or numbers whose names are in the metadata or in `class_names`. Raise UserError if a file is
    damaged or lacks a column, or if a label has no name.
    """
    wanted = _columns(dataset, "image")
    files = list(_find_tables(folder, ".parquet"))
    pictures: list[Picture] = []
    class_names: list[str] = []
    for path, place_of_table in files:
        table = _open_parquet(path, wanted)
        names = _find_class_names(table.schema_arrow, dataset)
        class_names += [name for name in names if name not in class_names]
        for row, (label, *group) in enumerate(_read_values(table, path, wanted[1:])):
            place = f"{place_of_table}#{row}"
            label = _name_label(label, names, place)
            pictures.append(Picture(place, label, _is_test(path), "" if group in ([], [None]) else str(group[0])))

    def read() -> Iterator[bytes]:
        for path, _ in files:
            for (image,) in _read_values(_open_parquet(path, wanted), path, wanted[:1]):
                yield (image.get("bytes") if isinstance(image, dict) else image) or b""

    return Listing(pictures, tuple(class_names) or _sort_labels({picture.label for picture in pictures}), read)


def _name_label(label: Any, names: Sequence[str], place: str) -> str:
    """Return the name of a label, which is text or a number; raise UserError if it has none."""
    if isinstance(label, int) and names:
        if not 0 <= label < len(names):
            raise UserError(f"{place}: the label {label} has no name; there are {name_some(list(names))}")
        return names[label]
    if label is None or label == "":
        raise UserError(f"{place} has no label: remove that row")
    return normalize("NFC", str(label))


def _columns(dataset: Dataset, image: str) -> list[str]:
    """Return the names of the columns with the image, the label and, if there is one, the group."""
    group = [] if dataset.group_column is None else [dataset.group_column]
    return [dataset.image_column or image, dataset.label_column, *group]


def _find_tables(folder: Path, suffix: str) -> list[tuple[Path, str]]:
    """Return the tables in `folder`, sorted, each with its path in the folder; raise UserError if there are none."""
    tables = [(path, place) for path, place in walk(folder) if place.lower().endswith(suffix)]
    if not tables:
        raise UserError(f"{folder} has no table: a file that ends in {suffix} is expected")
    return tables


def _is_test(table: Path) -> bool:
    return table.name.lower().startswith("test")


def _require_columns(table: Path, wanted: Sequence[str], present: Sequence[str]) -> None:
    if missing := [column for column in wanted if column not in present]:
        raise UserError(
            f"{table} has no column {', '.join(missing)}; it has {name_some(list(present)) or 'none'}: "
            + ("put commas between the columns, not semicolons; or " if ";" in "".join(present) else "")
            + "rename a column, or write the names of yours in image_column, label_column and group_column"
        )


def _read_rows(table: Path, wanted: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row of a CSV file, and its line."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _require_columns(table, wanted, reader.fieldnames or ())
            for row in reader:
                yield reader.line_num, {column: row[column] or "" for column in wanted}
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{table} is not a CSV file in UTF-8, so save it as one: {first_line(error)}") from None


def _resolve_place(table: str, path: str, where: str) -> str:
    """Return a picture's path in the data set's folder from its path beside `table`; raise UserError if it has `..`."""
    parts = [part for part in path.replace("\\", "/").split("/") if part != "."]
    if ".." in parts or not all(parts):
        raise UserError(f"{where}: {path!r} should be a path below the table's folder, without ..")
    return "/".join([*table.split("/")[:-1], *parts])


def _open_parquet(path: Path, wanted: Sequence[str]) -> "ParquetFile":
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        table = ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path} is no Parquet file, or damaged: {first_line(error)}") from None
    _require_columns(path, wanted, table.schema_arrow.names)
    return table


def _read_values(table: "ParquetFile", path: Path, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the values of these columns, row by row."""
    import pyarrow

    try:
        for batch in table.iter_batches(ROWS, columns=list(columns)):
            yield from zip(*(batch.column(column).to_pylist() for column in columns), strict=True)
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path} is damaged: {first_line(error)}") from None


def _find_class_names(schema: "pyarrow.Schema", dataset: Dataset) -> list[str]:
    """Return the names of numeric labels: from Hugging Face's metadata, else from the data set's class_names."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return [normalize("NFC", name) for name in features[dataset.label_column]["names"]]
    except (KeyError, ValueError, TypeError):
        return list(dataset.class_names)


def _sort_labels(labels: set[str]) -> tuple[str, ...]:
    """Return sorted labels: first numbers by their value, then names alphabetically."""
    return tuple(
        sorted(labels, key=lambda label: (not label.isdecimal(), int(label) if label.isdecimal() else 0, label))
    )
