"""Which process writes to a run, and the runs whose process has died."""

import os
import socket
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from pipeline.tracking.store import Store

PROCESS_TAG = "process"


def identify_process() -> str:
    """Return this process' host, id and start time: a later process with the same id started at another time."""
    return f"{socket.gethostname()} {os.getpid()}@{psutil.Process().create_time()}"


def is_alive(process: str) -> bool:
    """Return whether the process `id@start` still runs on this machine."""
    number, _, started = process.partition("@")
    try:
        return str(psutil.Process(int(number)).create_time()) == started
    except psutil.NoSuchProcess:
        return False


def close_dead_runs(store: "Store") -> None:
    """End, as KILLED, the runs that a training on this machine left RUNNING when it was killed."""
    for run in store.search_runs("attributes.status = 'RUNNING'"):
        host, _, process = run.data.tags.get(PROCESS_TAG, "").partition(" ")
        if host == socket.gethostname() and not is_alive(process):
            store.client.set_terminated(run.info.run_id, "KILLED")
