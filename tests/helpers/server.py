"""The app in a process of its own on a free port of the loopback, and a client that sees all that it answers."""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

CHAMPION = "models:/digits@champion"
RAW, JSON, PNG = "application/octet-stream", "application/json", "image/png"


class Answer:
    """Status, headers (by names in lower case) and body of a response."""

    def __init__(self, response: http.client.HTTPResponse):
        self.status, self.body = response.status, response.read()
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    @property
    def json(self) -> dict:
        return json.loads(self.body)


class App:
    def __init__(self, port: int, process: subprocess.Popen, log: Path):
        self.port, self.process, self._log = port, process, log
        self.address = f"http://127.0.0.1:{port}"

    @property
    def log(self) -> str:
        return self._log.read_text()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method: str, path: str, body: object = None, kind: str | None = None, **headers: str) -> Answer:
        """One request on a connection of its own; `_` in a header's name stands for `-`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(self.connect()) as connection:
            connection.request(method, path, body, sent | ({"Content-Type": kind} if kind else {}))
            return Answer(connection.getresponse())

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def predict(self, body: object, kind: str = RAW, **headers: str) -> Answer:
        return self.ask("POST", "/predict", body, kind, **headers)

    def invoke(self, content: object) -> Answer:
        return self.ask("POST", "/invocations", json.dumps(content), JSON)

    @property
    def memory(self) -> int:
        """Bytes that are resident now."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * 4096


def multipart(files: list[tuple[str, bytes]], kind: str = PNG) -> tuple[bytes, str]:
    """A body of several files, and its Content-Type."""
    parts = [
        f'--frontier\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        f"Content-Type: {kind}\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    return b"".join(parts) + b"--frontier--\r\n", "multipart/form-data; boundary=frontier"


def command(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "serving.app", *arguments)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(project, *options: str, model: str = CHAMPION, **environment: str) -> Iterator[App]:
    """The app, ready, on the project's store or on the one that `environment` names."""
    port = free_port()
    log = project.folder / f"app-{port}.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            command(model, "--port", str(port), *options),
            cwd=project.folder, env=project.environment | environment, stdout=file, stderr=file,
        )  # fmt: skip
    with ready(App(port, process, log)) as app:
        yield app


@contextmanager
def ready(app: App) -> Iterator[App]:
    """The app once it answers; it is ended afterwards."""
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                app.get("/healthz")
                break
            except OSError:
                assert app.process.poll() is None, app.log
                assert time.monotonic() < deadline, app.log
                time.sleep(0.1)
        yield app
    finally:
        app.process.terminate()
        app.process.wait(40)
