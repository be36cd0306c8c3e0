"""Read DVC's cache: what its run cache records of earlier runs, and the files that they wrote."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.cli import UserError

RECORD = "dvc.lock"


def find_cache(root: Path = Path()) -> Path:
    """Return the folder of the cache of the project at `root`.

    Raise UserError if DVC can't tell, as with a damaged .dvc/config.
    """
    done = subprocess.run(("dvc", "cache", "dir"), cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"`dvc cache dir` fails, so nothing can be rebuilt:\n{done.stderr.strip()}")
    return root / done.stdout.strip()


def find_outputs(root: Path, stage: str) -> list[tuple[str, Path]]:
    """Return name and place of the files that the cache has of earlier runs of `stage`; [] if there is no cache."""
    if not (root / ".dvc").is_dir():
        return []
    found: list[tuple[str, Path]] = []
    with suppress(UserError):
        cache = find_cache(root)
        # dvc.lock has the last run, also on a machine that pulled the files without the run cache.
        for record in (_read_lock(root / RECORD, stage), *read_runs(cache, f"python -m pipeline.{stage}")):
            # DVC's garbage collection may have removed a part.
            with suppress(OSError, KeyError, TypeError, ValueError):
                for out in record["outs"]:
                    found += [(name, cached_file(cache, md5)) for name, md5 in list_files(cache, out).items()]
    return [(name, path) for name, path in dict.fromkeys(found) if path.exists()]


def _read_lock(path: Path, stage: str) -> dict[str, Any]:
    """Return what dvc.lock records of a stage; {} if it records nothing, or if a merge has damaged it."""
    with suppress(OSError, YAMLError, KeyError, TypeError):
        record: dict[str, Any] = YAML(typ="safe").load(path)["stages"][stage]
        return record
    return {}


def read_runs(cache: Path, command: str) -> Iterator[dict[str, Any]]:
    """Yield the runs that the run cache records whose command begins with `command`, in a fixed order."""
    for path in sorted((cache / "runs").rglob("*")):
        # Reading YAML takes many times as long as looking for the command's text.
        if path.is_file() and command.encode() in path.read_bytes():
            record = _read_run(path)
            if record and str(record["cmd"]).startswith(command):
                yield record


def _read_run(path: Path) -> dict[str, Any] | None:
    """Return a recorded run; None for the rest of a file that DVC was killed while it wrote."""
    try:
        record = YAML(typ="safe").load(path)
    except YAMLError:
        return None
    return record if isinstance(record, dict) and record.keys() >= {"cmd", "deps", "outs"} else None


def list_files(cache: Path, out: dict[str, Any]) -> dict[str, str]:
    """Return the md5 of each file of a cached folder, by path."""
    return {entry["relpath"]: entry["md5"] for entry in json.loads(cached_file(cache, out["md5"]).read_text())}


def cached_file(cache: Path, md5: str) -> Path:
    """Return where the cache keeps a file."""
    return cache / "files" / "md5" / md5[:2] / md5[2:]


def restore_file(cache: Path, md5: str, path: Path) -> None:
    """Copy a file from the cache to `path`, and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(cached_file(cache, md5), path)
