"""What a receipt records of the surroundings that made a model: files, code, packages, machine, git and DVC."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.files import sha256_of
from pipeline.paths import LOCK

# Where the running code lies: in DVC's temporary workspaces not the project's root.
PIPELINE = Path(__file__).parent.parent
MAX_DIFF_CHARACTERS = 1_000_000  # a larger change should have been committed
PACKAGES = ("tensorflow", "keras", "numpy", "onnx", "tf2onnx", "ai-edge-litert")


def collect_provenance(folder: Path) -> dict[str, Any]:
    """Return the part of the receipt that is not parameters or metrics; `folder` holds the files that were made."""
    return {
        "files_sha256": {
            file.relative_to(folder).as_posix(): sha256_of(file) for file in sorted(folder.rglob("*")) if file.is_file()
        },
        "code_sha256": hash_code(),
        "lock_sha256": sha256_of(PIPELINE.parent / LOCK),
        "packages": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "git": read_git_state(),
        "dvc": {
            "stage": os.environ.get("DVC_STAGE"),
            "experiment": os.environ.get("DVC_EXP_NAME"),
            "baseline": os.environ.get("DVC_EXP_BASELINE_REV"),
        },
    }


def hash_code() -> dict[str, str]:
    """Return the sha256 of every module of this project that the process has imported, by path."""
    imported = {Path(file) for module in sys.modules.values() if (file := getattr(module, "__file__", None))}
    own = sorted(file for file in imported if file.is_relative_to(PIPELINE) and file.stat().st_size)
    return {file.relative_to(PIPELINE.parent).as_posix(): sha256_of(file) for file in own}


def read_git_state(folder: Path = Path(), max_characters: int = MAX_DIFF_CHARACTERS) -> dict[str, str | bool | None]:
    """Return the commit that is checked out, and whether tracked files differ from it; None where git can't say.

    `diff` is how they differ, as `git apply` takes it, cut off at a million characters; None if they don't.
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

    # dvc.lock is what a run writes, not what it is made from.
    sources = ("--", ".", ":!dvc.lock")
    commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no", *sources)
    # A user's own settings may colour a diff or hand it to another program.
    plain = ("--no-color", "--no-ext-diff", "--no-textconv", "--binary")
    diff = git("diff", *plain, "HEAD", *sources) if changes else None
    if diff and len(diff) > max_characters:
        diff = f"{diff[:max_characters]}\n[cut off: {len(diff):,} characters in all]\n"
    dirty = None if changes is None else bool(changes)
    return {"commit": commit.strip() if commit else None, "dirty": dirty, "diff": diff}
