"""Identify the process that writes to a run, and end the runs whose process has died."""

import os
import socket
import uuid
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from pipeline.tracking.store import Store

PROCESS_TAG = "process"


def identify_process() -> str:
    """Return this process' machine, id and start time: a later process with the same id started at another time."""
    return f"{identify_machine()} {os.getpid()}@{psutil.Process().create_time()}"


def identify_machine() -> str:
    """Return the machine's name, its network card's address and, on Linux, the namespace of its process ids.

    The name alone isn't enough: cloned machines and containers may share it, and would end each other's runs.
    """
    try:
        counted_in = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        counted_in = "-"
    return f"{socket.gethostname()}/{uuid.getnode():012x}/{counted_in}"


def is_alive(process: str) -> bool:
    """Return whether the process `id@start` still runs on this machine.

    A zombie doesn't: in a container whose first process doesn't collect dead ones, it would stay for ever.
    """
    number, _, started = process.partition("@")
    try:
        found = psutil.Process(int(number))
        return str(found.create_time()) == started and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def close_dead_runs(store: "Store") -> None:
    """End, as KILLED, the runs that a training on this machine left RUNNING when it was killed."""
    for run in store.search_runs("attributes.status = 'RUNNING'"):
        machine, _, process = run.data.tags.get(PROCESS_TAG, "").partition(" ")
        if machine == identify_machine() and not is_alive(process):
            store.client.set_terminated(run.info.run_id, "KILLED")
