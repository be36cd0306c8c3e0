"""What a receipt records of the surroundings that made a model: files, code, packages, machine, git and DVC."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from pipeline.files import sha256_of

PIPELINE = Path(__file__).parent.parent
LOCK = PIPELINE.parent / "requirements.lock"
LARGEST_DIFF = 1_000_000  # characters; who changed more than that should have committed it
PACKAGES = ("tensorflow", "keras", "numpy", "onnx", "tf2onnx", "ai-edge-litert")


def surroundings(folder: Path) -> dict:
    """The part of the receipt that is not parameters or metrics; `folder` holds the files that were made."""
    return {
        "files_sha256": {
            file.relative_to(folder).as_posix(): sha256_of(file) for file in sorted(folder.rglob("*")) if file.is_file()
        },
        "code_sha256": code_hashes(),
        "lock_sha256": sha256_of(LOCK),
        "packages": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "git": git_state(),
        "dvc": {
            "stage": os.environ.get("DVC_STAGE"),
            "experiment": os.environ.get("DVC_EXP_NAME"),
            "baseline": os.environ.get("DVC_EXP_BASELINE_REV"),
        },
    }


def code_hashes() -> dict[str, str]:
    """The sha256 of every module of this project that the process has imported, by path."""
    files = {Path(module.__file__) for module in sys.modules.values() if getattr(module, "__file__", None)}
    mine = sorted(file for file in files if file.is_relative_to(PIPELINE) and file.stat().st_size)
    return {file.relative_to(PIPELINE.parent).as_posix(): sha256_of(file) for file in mine}


def git_state() -> dict[str, str | bool | None]:
    """The commit that is checked out, and whether tracked files differ from it; None where git can't tell.

    `diff` is how they differ, as `git apply` takes it, cut off at a million characters; None if they don't.
    """

    def git(*arguments: str) -> str | None:
        try:
            # A changed file need not be UTF-8.
            how = {"capture_output": True, "text": True, "errors": "backslashreplace", "check": True}
            return subprocess.run(("git", *arguments), **how).stdout
        except (OSError, subprocess.CalledProcessError):
            return None

    # dvc.lock is what a run writes, not what it is made from.
    sources = ("--", ".", ":!dvc.lock")
    commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no", *sources)
    # A user's own settings may colour a diff or hand it to another program.
    plain = ("--no-color", "--no-ext-diff", "--no-textconv", "--binary")
    diff = git("diff", *plain, "HEAD", *sources) if changes else None
    if diff and len(diff) > LARGEST_DIFF:
        diff = f"{diff[:LARGEST_DIFF]}\n[cut off: {len(diff):,} characters in all]\n"
    dirty = None if changes is None else bool(changes)
    return {"commit": commit.strip() if commit else None, "dirty": dirty, "diff": diff}
