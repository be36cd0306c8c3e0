"""Tables that an earlier stage wrote."""

from pathlib import Path

import pandas as pd

from pipeline.files import damaged_file_error, missing_file_error


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV file that another stage wrote; raise UserError if it is missing or damaged."""
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise missing_file_error(path) from None
    except ValueError as error:
        raise damaged_file_error(path, error) from None
