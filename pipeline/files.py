"""Files of the pipeline: folders that appear whole or not at all, JSON, and hashes."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from pipeline.cli import UserError


@contextmanager
def publish(folder: Path) -> Iterator[Path]:
    """Yield an empty scratch folder that takes the name `folder` only if the block ends without an error."""
    scratch = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as JSON that a person can read and a diff can follow."""
    path.write_text(json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that another stage wrote; raise UserError, with the command that makes it, if it is missing."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        return content
    except FileNotFoundError:
        raise missing_file_error(path) from None


def missing_file_error(path: Path) -> UserError:
    """Return the error for a file that an earlier stage should have written."""
    return UserError(f"{path} is missing: run `dvc repro` (or `dvc pull`, if a remote has it)")


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes, as 64 hexadecimal digits."""
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
