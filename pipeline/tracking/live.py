"""Train's end of a pipe to `pipeline.tracking.follow`, the process that shows a training in MLflow while it runs.

It is a separate process, so that a store that is slow, down or wrong can neither delay a training nor change it. It
isn't imported, because a change to the tracking code is no reason to train again.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self
from uuid import uuid4

SHOWN_AFTER_S = 15.0  # a training that finishes sooner is left to `register`
SHUTDOWN_TIMEOUT_S = 5.0  # how long a training waits, at its end, for a slow store


class LiveRun:
    """A context manager: a run in MLflow that ends FINISHED, FAILED on an exception, KILLED on an interrupt or a kill.

    It works as far as it can: messages that can't be sent are dropped, because the receipt has everything. A training
    that finishes within `shown_after_s` seconds isn't shown at all. `id` is the value of the run's tag `training`.
    """

    def __init__(self, inputs: Mapping[str, Any], shown_after_s: float = SHOWN_AFTER_S):
        self._shown_after_s = shown_after_s
        self.id = uuid4().hex
        self._inputs = inputs
        self._unsent = b""

    def __enter__(self) -> Self:
        command = (sys.executable, "-m", "pipeline.tracking.follow", str(self._shown_after_s))
        # In its own process group: only the training gets Ctrl-C, and its last message says so.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, process_group=0)
        assert self._process.stdin is not None  # because of PIPE
        self._pipe = self._process.stdin
        # A follower that doesn't read must not block the writer; what the pipe doesn't take is dropped.
        os.set_blocking(self._pipe.fileno(), False)
        self.send({"training": self.id, **self._inputs})
        return self

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message and return at once. Only whole lines are dropped: the rest of a line is sent first."""
        with suppress(OSError):  # the pipe is full, or the follower has died
            self._write_unsent()
            self._unsent = json.dumps(message).encode() + b"\n"
            self._write_unsent()

    def _write_unsent(self) -> None:
        while self._unsent:
            self._unsent = self._unsent[os.write(self._pipe.fileno(), self._unsent) :]

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        is_interrupted = kind is not None and not issubclass(kind, Exception)
        self.send({"status": "KILLED" if is_interrupted else "FAILED" if kind else "FINISHED"})
        self._pipe.close()
        if kind:
            return  # the follower shows how it ended, and then ends by itself
        try:
            self._process.wait(SHUTDOWN_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            print("warning: MLflow is slow; training doesn't wait for it, `register` completes the run", flush=True)
