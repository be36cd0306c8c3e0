"""The real parts of a team's tracking server, each on a free port of the loopback: PostgreSQL, S3, MLflow."""

import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from tests.helpers.project import SOURCE, environment
from tests.helpers.server import Server, free_port, launched

USER, PASSWORD = "mlops", "kept-to-myself"
START_TIMEOUT_S = 60
S3 = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


def find_postgresql() -> Path | None:
    """Return the folder with PostgreSQL's programs, which Debian doesn't put on PATH; None if there is none."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a PostgreSQL server with one database; yields its URL, with the password."""
    programs, port = find_postgresql(), free_port()
    assert programs, "PostgreSQL is not installed"
    # PostgreSQL refuses to run as root, and other users can't enter root's temporary folders.
    owner = {"user": "nobody", "extra_groups": ()} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD)
        if owner:
            for path in (folder, folder / "password"):
                shutil.chown(path, "nobody")
        subprocess.run(
            (programs / "initdb", "-D", folder / "data", "-U", USER, f"--pwfile={folder / 'password'}",
             "--auth=scram-sha-256", "--no-sync"),
            cwd=folder, check=True, capture_output=True, **owner,
        )  # fmt: skip
        settings = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "max_connections=200")
        options = [word for setting in settings for word in ("-c", setting)]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                (programs / "postgres", "-D", folder / "data", "-p", str(port), *options),
                cwd=folder, stdout=log, stderr=log, **owner,
            )  # fmt: skip
        address = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres"
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while True:
                with suppress(OperationalError):
                    ask(address, "SELECT 1")
                    break
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.1)
            yield address
        finally:
            process.send_signal(signal.SIGINT)  # PostgreSQL's "fast shutdown"
            process.wait(START_TIMEOUT_S)


def ask(database: str, query: str) -> list[Any]:
    """Return the first column of a query's rows; [] for a command without rows."""
    engine = create_engine(database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        result = connection.execute(text(query))
        return list(result.scalars()) if result.returns_rows else []


@contextmanager
def s3() -> Iterator[dict[str, str]]:
    """Run an S3 service with the bucket mlflow; yields the environment variables by which a server finds it."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would print a line per request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = S3 | {"MLFLOW_S3_ENDPOINT_URL": f"http://{host}:{port}"}
    try:
        boto3.client(
            "s3", endpoint_url=variables["MLFLOW_S3_ENDPOINT_URL"], region_name=S3["AWS_DEFAULT_REGION"],
            aws_access_key_id=S3["AWS_ACCESS_KEY_ID"], aws_secret_access_key=S3["AWS_SECRET_ACCESS_KEY"],
        ).create_bucket(Bucket="mlflow")  # fmt: skip
        yield variables
    finally:
        server.stop()


@contextmanager
def mlflow_server(folder: Path, store: str, *options: str, **variables: str) -> Iterator[Server]:
    """Run MLflow's server on a store; `options` say where its artifacts are kept."""
    command = (sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--workers", "2", *options)
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with launched(command, folder, environment() | quiet | variables, "/health") as server:
        yield server


def store_address(database: str) -> str:
    """Return a database's URL for MLflow's server, with the driver psycopg, whatever driver SQLAlchemy prefers."""
    return database.replace("postgresql://", "postgresql+psycopg://")


@contextmanager
def team(folder: Path) -> Iterator[tuple[str, Server, dict[str, str]]]:
    """Run all parts, as in docs/team.md; yields the database's URL, the server, and the variables for S3."""
    with ExitStack() as stack:
        database = stack.enter_context(postgresql())
        variables = stack.enter_context(s3())
        options = ("--artifacts-destination", "s3://mlflow/artifacts")
        server = stack.enter_context(mlflow_server(folder, store_address(database), *options, **variables))
        yield database, server, variables


class SlowNetwork:
    """A port that forwards to another one; data that is sent through it arrives late, even if its sender has died."""

    def __init__(self, port: int, draw: random.Random, mean_s: float):
        self._target, self._draw, self._mean_s = port, draw, mean_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            with suppress(OSError):
                server = socket.create_connection(("127.0.0.1", self._target))
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while content := source.recv(65536):
                time.sleep(min(self._draw.expovariate(1 / self._mean_s), 2))
                sink.sendall(content)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def checkout_environment(folder: Path, **variables: str) -> dict[str, str]:
    """Return the variables of a shell in a checkout that runs this project's code."""
    return (
        environment()
        | {"DVC_ROOT": str(folder), "PYTHONPATH": f"{SOURCE}:{os.environ.get('PYTHONPATH', '')}"}
        | variables
    )
