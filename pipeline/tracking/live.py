"""Train's end of a pipe to `pipeline.tracking.follow`, the process that shows a training in MLflow while it runs.

A process of its own, because a store that is slow, down or wrong can then neither hold up a training nor change it;
and not an import, because a change to the tracking code is no reason to train again.
"""

import json
import os
import subprocess
import sys
from contextlib import suppress
from uuid import uuid4

PATIENCE = 5.0  # seconds that a training waits, at its end, for a slow store


class LiveRun:
    """A context: a run in MLflow that ends FINISHED, FAILED on an exception, and KILLED on an interrupt or a kill.

    Best effort: what can't be sent is dropped, for the receipt has it all. `id` is the tag `training` of the run.
    """

    def __init__(self, made_of: dict):
        self.id = uuid4().hex
        self._made_of = made_of

    def __enter__(self) -> "LiveRun":
        command = (sys.executable, "-m", "pipeline.tracking.follow")
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE)
        # A follower that doesn't read must not block the writer; what the pipe doesn't take is dropped.
        os.set_blocking(self._process.stdin.fileno(), False)
        self.send({"training": self.id, **self._made_of})
        return self

    def send(self, message: dict) -> None:
        """Send an epoch's entry; returns at once."""
        with suppress(OSError):  # the follower has given up, and said why
            os.write(self._process.stdin.fileno(), json.dumps(message).encode() + b"\n")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        interrupted = kind is not None and not issubclass(kind, Exception)
        self.send({"status": "KILLED" if interrupted else "FAILED" if kind else "FINISHED"})
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            print("warning: MLflow is slow; training doesn't wait for it, `register` completes the run", flush=True)
