"""Files of the pipeline: folders that appear whole or not at all, JSON, and hashes."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.cli import UserError, first_line


@contextmanager
def publish(folder: Path, check: Callable[[], object] = lambda: None) -> Iterator[Path]:
    """Yield an empty scratch folder; rename it to `folder` if neither the block nor the `check` after it raises.

    Only one process writes a folder at a time; others wait. A process that is killed at any moment leaves the old or
    the new folder whole. Between the two renames the old folder has another name; the next call renames it back.
    """
    scratch, old, lock = (folder.with_name(f".{folder.name}.{kind}") for kind in ("part", "old", "lock"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _wait_for_lock(lock, folder):
        try:
            _recover(folder, scratch, old)
            scratch.mkdir()
            yield scratch
            check()
            if folder.exists():
                os.replace(folder, old)
            os.replace(scratch, folder)
        finally:
            _recover(folder, scratch, old)
            lock.unlink(missing_ok=True)  # while it is held: a process that waits for it notices, and makes a new file


@contextmanager
def _wait_for_lock(path: Path, folder: Path) -> Iterator[None]:
    """Hold the lock `path`; print a message if it must wait. The system releases the lock of a killed process."""
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print(f"{folder}: another process is writing it; waiting until that ends", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _recover(folder: Path, scratch: Path, old: Path) -> None:
    """Rename the old folder back unless the new one is in place; remove the other folders that are left."""
    if old.exists() and not folder.exists():
        os.replace(old, folder)
    for left in (scratch, old):
        if left.is_symlink():
            left.unlink()
        shutil.rmtree(left, ignore_errors=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as JSON that a person can read and a diff can follow."""
    path.write_text(json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that another stage wrote; raise UserError if it is missing or damaged."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise missing_file_error(path) from None
    except ValueError as error:
        raise damaged_file_error(path, error) from None
    if not isinstance(content, dict):
        raise damaged_file_error(path, TypeError(f"it holds a {type(content).__name__}, not a mapping"))
    return content


def missing_file_error(path: Path) -> UserError:
    """Return the error for a file that an earlier stage should have written."""
    return UserError(f"{path} is missing: run `dvc repro` (or `dvc pull`, if a remote has it)")


def damaged_file_error(path: Path, fault: Exception) -> UserError:
    """Return the error for a file that is no longer what an earlier stage wrote."""
    return UserError(f"{path} is damaged ({first_line(fault)}): run `dvc repro`, which makes or restores it")


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes, as 64 hexadecimal digits."""
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
