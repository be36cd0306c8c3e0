"""Clients that give tests the app's whole answers: by HTTP, or in the test's own process."""

import asyncio
import http.client
import json
from abc import ABC, abstractmethod
from contextlib import closing
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

RAW, JSON, PNG = "application/octet-stream", "application/json", "image/png"


class Answer:
    """Status, headers (names in lower case) and body of a response."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client(ABC):
    """The requests that tests make."""

    @abstractmethod
    def ask(self, method: str, path: str, body: Any = None, kind: str | None = None, **headers: str) -> Answer:
        """Make one request; `_` in a header's name stands for `-`."""

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def predict(self, body: Any, kind: str | None = RAW, **headers: str) -> Answer:
        return self.ask("POST", "/predict", body, kind, **headers)

    def invoke(self, content: object) -> Answer:
        return self.ask("POST", "/invocations", json.dumps(content), JSON)


class HttpClient(Client):
    """A client of a server on the loopback."""

    def __init__(self, port: int):
        self.port, self.address = port, f"http://127.0.0.1:{port}"

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method: str, path: str, body: Any = None, kind: str | None = None, **headers: str) -> Answer:
        """Make one request on a connection of its own."""
        sent = with_dashes(headers)
        with closing(self.connect()) as connection:
            connection.request(method, path, body, sent | ({} if kind is None else {"Content-Type": kind}))
            return read_answer(connection.getresponse())


class AsgiClient(Client):
    """A client of an ASGI application, in this process and without a server."""

    def __init__(self, app: ASGIApp):
        self.app = app

    def ask(self, method: str, path: str, body: Any = None, kind: str | None = None, **headers: str) -> Answer:
        return asyncio.run(ask_asgi(self.app, method, path, body, kind, **headers))


async def ask_asgi(
    app: ASGIApp, method: str, path: str, body: Any = None, kind: str | None = None, **headers: str
) -> Answer:
    """Make one request to an ASGI application, in the form in which a server gives it to the application."""
    content = (body.encode() if isinstance(body, str) else body) or b""
    sent = {"Host": "localhost", **with_dashes(headers)} | ({} if kind is None else {"Content-Type": kind})
    if method == "POST":
        sent = {"Content-Length": str(len(content))} | sent
    requests: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]
    answers: list[Message] = []
    answered = asyncio.Event()

    async def receive() -> Message:
        if not requests:
            await answered.wait()
            return {"type": "http.disconnect"}
        return requests.pop()

    async def send(message: Message) -> None:
        answers.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            answered.set()

    path, _, query = path.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": unquote(path), "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()],
        "client": ("127.0.0.1", 50000), "server": ("127.0.0.1", 8000),
    }  # fmt: skip
    await app(scope, receive, send)
    start, *rest = answers
    raw = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], raw, b"".join(message.get("body", b"") for message in rest))


def with_dashes(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def read_answer(response: http.client.HTTPResponse) -> Answer:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


def multipart(files: list[tuple[str, bytes]], kind: str = PNG) -> tuple[bytes, str]:
    """Return a body of several files, and its Content-Type."""
    parts = [
        f'--frontier\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        f"Content-Type: {kind}\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    return b"".join(parts) + b"--frontier--\r\n", "multipart/form-data; boundary=frontier"
