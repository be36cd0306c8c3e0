"""A PostgreSQL server of the tests' own, where it is installed."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.helpers.server import free_port

USER, PASSWORD = "searcher", "a secret"
OWNER = "nobody"  # PostgreSQL refuses to run as root


def find_programs() -> Path:
    """Return the folder of PostgreSQL's programs, which Debian keeps off PATH; skip the test if there is none."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        pytest.skip("PostgreSQL isn't installed: `apt-get install postgresql`")
    pytest.importorskip("psycopg", reason="psycopg isn't installed: requirements-postgresql.lock")
    return found[-1]


@contextmanager
def start_postgresql() -> Iterator[str]:
    """Start a server on a free port of the loopback, whose files are in a folder of its own; give its address."""
    programs, port = find_programs(), free_port()
    owner = {"user": OWNER, "extra_groups": ()} if os.geteuid() == 0 else {}
    # Not in a test's folder: where root runs the tests, that is closed to others.
    with tempfile.TemporaryDirectory() as folder:
        password, data, log = (str(Path(folder, name)) for name in ("password", "data", "log"))
        Path(password).write_text(PASSWORD)
        if owner:
            for path in (folder, password):
                shutil.chown(path, OWNER)

        def call(program: str, *arguments: str) -> None:
            command = (str(programs / program), "-D", data, *arguments)
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, **owner)

        call("initdb", "-U", USER, f"--pwfile={password}", "--auth=scram-sha-256", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        call("pg_ctl", "start", "--wait", "-l", log, "-o", options)
        try:
            yield f"postgresql://{USER}:{quote(PASSWORD)}@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "stop", "--wait", "-m", "fast")  # by the process id that it finds in the folder
