"""For `make run`: where no mirror answers, switch params.yaml to `digits`, the data set that needs no network."""

import re
import subprocess
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from pipeline.cli import UserError, run
from pipeline.config.params import load
from pipeline.download import CATALOGUE, RAW, TEST_LABELS, catalogued, fetch, mirrors
from pipeline.files import sha256_of

PARAMS = Path("params.yaml")


def main() -> None:
    name = load(PARAMS).dataset
    catalogued(name)
    mirrors(name)  # an address that can't be one is a mistake to mend, not a network that is gone
    if is_here(name) or answers(name) or restored():
        return
    text, changed = re.subn(r"^(dataset:[ \t]*)[^\s#]+", r"\1digits", PARAMS.read_text(), count=1, flags=re.MULTILINE)
    if not changed:
        raise UserError(f"no mirror of {name} answers; to run without a network, set `dataset: digits` in {PARAMS}")
    PARAMS.write_text(text)
    print(
        f"No mirror of {name} answers: running on digits, which needs no network. params.yaml now says so; "
        f"to come back: write `dataset: {name}` there, and `make run`."
    )


def is_here(name: str) -> bool:
    """Whether data/raw already holds every file of the data set, as published."""
    files = CATALOGUE[name]["files"]
    return all((RAW / file).exists() and sha256_of(RAW / file) == expected for file, expected in files.items())


def answers(name: str) -> bool:
    """Whether a mirror gives the data set's smallest file, as published."""
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        try:
            fetch(name, (TEST_LABELS,), Path(folder), retries=0)
        except UserError:
            return False
    return True


def restored() -> bool:
    """Whether DVC's cache still has the files, from an earlier download."""
    return subprocess.run(("dvc", "repro", "--quiet", "download"), capture_output=True).returncode == 0


if __name__ == "__main__":
    run(main)
