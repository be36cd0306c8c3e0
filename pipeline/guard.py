"""Guard a stage: check that its inputs haven't changed since it began, and that DVC, which records them, still runs."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML

from pipeline import code
from pipeline.cli import UserError, first_line
from pipeline.config import params
from pipeline.config.flatten import flatten
from pipeline.paths import CODE, DIAGRAM, LOCK, Workspace

DVC_STAGE = "DVC_STAGE"  # the variable in which DVC gives a stage its name
WATCH_INTERVAL_S = 1.0
WARNING_INTERVAL_S = 5.0  # between two checks of a training's inputs; a check takes a tenth of a second
NAMED_CHANGES = 5


class StageGuard:
    """The inputs of a stage at its beginning: the parameters, code and files that dvc.yaml declares.

    DVC reads them again when the stage has ended, and records what it finds then. A stage that DVC started ends with
    DVC: without it, nothing would record what the stage publishes.
    """

    def __init__(self, stage: str, workspace: Workspace, model: str = ""):
        """Read all inputs; raise UserError if DVC has ended, or if the code differs from what DVC records."""
        self.stage = stage
        self._workspace = workspace
        declared = YAML(typ="safe").load(CODE / DIAGRAM)["stages"][stage]
        self._params, self._files = (
            [entry.replace("${item.model}", model) for entry in declared.get(kind, ())] for kind in ("params", "deps")
        )
        self._dvc = find_dvc()
        if self._dvc:
            self._require_recorded_code()
            threading.Thread(target=self._end_with_dvc, daemon=True).start()
        self._before = self._read()
        self._warn_after = time.monotonic() + WARNING_INTERVAL_S

    def check(self) -> None:
        """Raise UserError if anything that the stage reads has changed, or if the DVC that started it has ended."""
        if self._dvc and has_ended(self._dvc):
            raise _orphan_error()
        if changes := self._find_changes():
            raise UserError(
                f"{changes} changed while {self.stage} ran, so nothing was published: run `dvc repro` again, and edit "
                "when it has ended; `dvc exp run --queue -S …` keeps an experiment for later"
            )

    def warn(self) -> None:
        """Print a warning as soon as any input has changed, while a person can still undo that; at most once."""
        if time.monotonic() < self._warn_after:
            return
        self._warn_after = time.monotonic() + WARNING_INTERVAL_S
        if changes := self._find_changes():
            print(f"warning: {changes} changed: unless that is undone, {self.stage} will publish nothing", flush=True)
            self._warn_after = float("inf")

    def _find_changes(self) -> str:
        """Return the names of the changed inputs for a message, of many only the first ones; "" if none has changed."""
        try:
            now = self._read()
        except (UserError, OSError, SyntaxError, ValueError) as error:  # in the middle of an edit
            return f"what can't be read any more ({first_line(error)})"
        names = sorted(name for name in self._before.keys() | now.keys() if self._before.get(name) != now.get(name))
        more = len(names) - NAMED_CHANGES
        return ", ".join(names[:NAMED_CHANGES]) + (f" and {more} more" if more > 0 else "")

    def _read(self) -> dict[str, Any]:
        """Return all inputs by readable names: values of parameters, hashes of code, and the identity of each file."""
        content = params.read(self._workspace.params) if self._params else {}
        found: dict[str, Any] = {}
        for key in self._params:
            values = flatten({key: params.find(content, key)})
            found |= {f"{name} in {self._workspace.params.name}": value for name, value in values.items()}
        found |= {line.split()[0]: line for line in code.describe(self.stage, CODE, code.locked_versions(CODE / LOCK))}
        for name in self._files:
            if not name.startswith("code/"):
                found |= dict(identify_files(self._workspace.root / name))
        return found

    def _require_recorded_code(self) -> None:
        """Raise UserError unless code/<stage>.txt, which DVC records, describes the code that runs."""
        path = self._workspace.code / f"{self.stage}.txt"
        if not path.exists() or path.read_text() != code.format_description(self.stage, CODE):
            raise UserError(
                f"{path} doesn't describe the code that is there: it was edited after `dvc repro` began. Run "
                "`dvc repro --force code`, then `dvc repro`"
            )

    def _end_with_dvc(self) -> None:
        assert self._dvc
        while not has_ended(self._dvc):
            time.sleep(WATCH_INTERVAL_S)
        print(f"error: {_orphan_error()}", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)


def find_dvc() -> psutil.Process | None:
    """Return the DVC process that started this stage, None if it wasn't DVC; raise UserError if DVC has ended."""
    stage = os.environ.get(DVC_STAGE)
    if not stage:
        return None
    # A shell may be between this process and DVC; it has the variable, too.
    for parent in psutil.Process().parents():
        try:
            if parent.environ().get(DVC_STAGE) != stage:
                break
        except psutil.Error:
            break
    else:
        raise _orphan_error()
    # DVC runs a stage in its own session, so a process of another session has only adopted the orphaned stage.
    try:
        is_adopted = os.getsid(parent.pid) != os.getsid(0)
    except OSError:
        is_adopted = True  # the process has just ended, or we have no permission to look at it
    if is_adopted:
        raise _orphan_error()
    return parent


def has_ended(process: psutil.Process) -> bool:
    """Return whether a process has ended; a zombie, whose exit code wasn't read yet, has ended."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def identify_files(path: Path) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Yield each visible file at or below `path` with its inode, size and mtime, which change when it is written."""
    files = [path.as_posix()]
    if path.is_dir():
        files = []
        for root, folders, names in os.walk(path):  # not Path.rglob, which takes three times as long for many pictures
            folders[:] = [name for name in folders if not name.startswith(".")]
            files += [f"{root}/{name}" for name in names if not name.startswith(".")]
    for file in files:
        with suppress(FileNotFoundError):
            found = os.stat(file)
            yield file, (found.st_ino, found.st_size, found.st_mtime_ns)


def _orphan_error() -> UserError:
    return UserError("dvc, which started this stage, has ended, so nothing is published: run `dvc repro` again")
