"""What a receipt records about the origin of a model: files, code, packages, machine, git and DVC."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.code import imported_modules
from pipeline.files import sha256_of
from pipeline.paths import CODE, LOCK

MAX_DIFF_CHARACTERS = 1_000_000  # a larger change should have been committed
PACKAGES = ("tensorflow", "keras", "numpy", "onnx", "tf2onnx", "ai-edge-litert")


def collect_provenance(threads: int) -> dict[str, Any]:
    """Return the receipt's entries on code, packages, machine, git and DVC as they are now; call it before training.

    `threads` is the number of threads that TensorFlow uses for one operation.
    """
    return {
        "code_sha256": hash_code(),
        "lock_sha256": sha256_of(CODE / LOCK),
        "packages": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "threads": threads},
        "git": read_git_state(),
        "dvc": {
            "stage": os.environ.get("DVC_STAGE"),
            "experiment": os.environ.get("DVC_EXP_NAME"),
            "baseline": os.environ.get("DVC_EXP_BASELINE_REV"),
        },
    }


def hash_files(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file below `folder`, by its path there."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): sha256_of(file) for file in files}


def hash_code() -> dict[str, str]:
    """Return the sha256 of every module of this project that a training computes with, by path."""
    modules = imported_modules("pipeline.train", CODE)
    return {file.relative_to(CODE).as_posix(): sha256_of(file) for file in modules}


def read_git_state(folder: Path = Path(), max_characters: int = MAX_DIFF_CHARACTERS) -> dict[str, str | bool | None]:
    """Return the commit that is checked out, and whether tracked files differ from it; None if git can't tell.

    `diff` is the difference as `git apply` takes it, cut off at a million characters; None if there is none.
    """

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ("git", *arguments),
                cwd=folder,
                capture_output=True,
                text=True,
                errors="backslashreplace",  # a changed file need not be UTF-8
                check=True,
            )
            return done.stdout
        except (OSError, subprocess.CalledProcessError):
            return None

    # dvc.lock and the journal of promotions are what a run writes, not what it is made from.
    sources = ("--", ".", ":!dvc.lock", ":!promotions.jsonl")
    commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no", *sources)
    # A user's own settings may colour a diff or hand it to another program.
    plain = ("--no-color", "--no-ext-diff", "--no-textconv", "--binary")
    diff = git("diff", *plain, "HEAD", *sources) if changes else None
    if diff and len(diff) > max_characters:
        diff = f"{diff[:max_characters]}\n[cut off: {len(diff):,} characters in all]\n"
    dirty = None if changes is None else bool(changes)
    return {"commit": commit.strip() if commit else None, "dirty": dirty, "diff": diff}
