import os
import socket
import subprocess
from types import SimpleNamespace

import psutil
import pytest

from pipeline.tracking.processes import close_dead_runs, identify_machine, identify_process, is_alive


def test_a_process_is_identified_by_machine_number_and_start():
    started = psutil.Process().create_time()
    assert identify_process() == f"{identify_machine()} {os.getpid()}@{started}"
    assert " " not in identify_machine()


def test_machines_of_one_name_are_distinguished(monkeypatch):
    """Clones differ in their network cards; containers may share a network card, but differ in their PID namespaces."""
    machines = {identify_machine()}
    assert machines.pop().startswith(f"{socket.gethostname()}/")
    for card, space in ((1, "pid:[4026531836]"), (2, "pid:[4026531836]"), (2, "pid:[4026532100]")):
        monkeypatch.setattr("uuid.getnode", lambda card=card: card)
        monkeypatch.setattr("os.readlink", lambda path, space=space: space)
        machines.add(identify_machine().removeprefix(f"{socket.gethostname()}/"))
    assert machines == {"000000000001/4026531836", "000000000002/4026531836", "000000000002/4026532100"}


def test_a_system_without_such_spaces_has_its_name_and_card(monkeypatch):
    def fail(path: str) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("os.readlink", fail)
    assert identify_machine().endswith("/-")


def test_a_process_is_alive_until_its_number_is_free_or_used_again():
    own = identify_process().split()[1]
    assert is_alive(own)
    assert not is_alive(f"{os.getpid()}@1.0")
    dead = subprocess.Popen(["sleep", "600"])
    name = f"{dead.pid}@{psutil.Process(dead.pid).create_time()}"
    assert is_alive(name)
    dead.kill()
    os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)  # it is dead, and its parent hasn't asked how it ended
    assert not is_alive(name)
    dead.wait()
    assert not is_alive(name)


@pytest.mark.parametrize(
    ("process", "is_closed"),
    [
        (identify_process(), False),
        (f"{identify_machine()} {os.getpid()}@1.0", True),
        (f"{socket.gethostname()} {os.getpid()}@1.0", False),
        (None, False),
    ],
    ids=["alive", "dead", "elsewhere", "unknown"],
)
def test_only_dead_processes_of_this_machine_are_closed(process, is_closed):
    closed, asked = [], []
    run = SimpleNamespace(
        info=SimpleNamespace(run_id="some"), data=SimpleNamespace(tags={"process": process} if process else {})
    )
    store = SimpleNamespace(
        search_runs=lambda condition: asked.append(condition) or [run],
        client=SimpleNamespace(set_terminated=lambda *arguments: closed.append(arguments)),
    )
    close_dead_runs(store)
    assert asked == ["attributes.status = 'RUNNING'"]
    assert closed == ([("some", "KILLED")] if is_closed else [])
