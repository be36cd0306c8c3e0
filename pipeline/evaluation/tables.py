"""Tables that an earlier stage wrote."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pipeline.files import damaged_file_error, missing_file_error

PROBABILITY = "p_"  # begins the name of a column of predictions.csv; the class's name follows
ANSWERS = ("split", "image", "label", "answer")
RENAMED = {"digit": "answer"}  # columns of predictions.csv that older versions wrote


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV file that another stage wrote; raise UserError if it is missing or damaged."""
    return _read(path, {}, None)


def read_predictions(path: Path, columns: Sequence[str] | None = ANSWERS) -> pd.DataFrame:
    """Read a predictions.csv, or some of its columns, with labels and answers as text: the classes' names."""
    return _read(path, dict.fromkeys(("label", "answer", *RENAMED), str), columns)


def _read(path: Path, types: dict[str, type], columns: Sequence[str] | None) -> pd.DataFrame:
    try:
        # A class may be called NA, which pandas would take for a missing value.
        table = pd.read_csv(path, dtype=types, keep_default_na=not types).rename(columns=RENAMED if types else {})
        return table if columns is None else table[list(columns)]
    except FileNotFoundError:
        raise missing_file_error(path) from None
    except (ValueError, KeyError) as error:
        raise damaged_file_error(path, error) from None
