"""Servers in processes of their own, each on a free port of the loopback."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.helpers.client import HttpClient
from tests.helpers.project import Project

CHAMPION = "models:/digits@champion"
STARTUP_TIMEOUT_S, SHUTDOWN_TIMEOUT_S = 300, 40


class Server(HttpClient):
    """A server's process, its log, and a client of it."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], log_file: Path):
        super().__init__(port)
        self.process, self.log_file = process, log_file

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @property
    def memory(self) -> int:
        """Return the resident memory in bytes."""
        return psutil.Process(self.process.pid).memory_info().rss

    def is_ready(self, path: str) -> bool:
        try:
            return self.get(path).status == 200
        except OSError:
            return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def launched(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], ready: str = "/healthz"
) -> Iterator[Server]:
    """Run a server in `folder` with `--port` added to its command; it is ready once the path `ready` answers 200."""
    port = free_port()
    log = folder / f"server-{port}.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, "--port", str(port)], cwd=folder, env=dict(environment), stdout=file, stderr=file
        )
    server = Server(port, process, log)
    try:
        deadline = time.monotonic() + STARTUP_TIMEOUT_S
        while not server.is_ready(ready):
            assert process.poll() is None, server.log
            assert time.monotonic() < deadline, server.log
            time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait(SHUTDOWN_TIMEOUT_S)


@contextmanager
def running(project: Project, *options: str, model: str = CHAMPION, **environment: str) -> Iterator[Server]:
    """Run the app on the project's store, or on the one that `environment` names."""
    with launched(command(model, *options), project.folder, project.environment | environment) as server:
        yield server


def command(*arguments: str) -> tuple[str, ...]:
    """Return the app's command line."""
    return (sys.executable, "-m", "serving.app", *arguments)
