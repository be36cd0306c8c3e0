"""What stands between the network and the app: limits, trusted names, security headers, and a short queue."""

import asyncio
import json
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.app.metrics import Metrics

LINGER = 5.0  # seconds for which what a refused client still sends is thrown away
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]/@\s]+)(?::\d{1,5})?", re.IGNORECASE)
SECURITY_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


def limit(default: float, told: str) -> Any:
    return field(default=default, metadata={"help": told})


@dataclass(frozen=True)
class Limits:
    """What one server takes on; the fields are options of the command line, too."""

    body_bytes: int = limit(32 << 20, "of one request at most")
    held_bytes: int = limit(128 << 20, "of all the requests at most that are received or answered at one time")
    body_seconds: float = limit(30.0, "until the whole of a request has to be there")
    files: int = limit(64, "at most in one request")
    threads: int = limit(min(4, os.cpu_count() or 1), "that decode images and score batches")
    queue: int = limit(32, "requests at most that wait for such a thread")


class Gone(Exception):
    """The client closed the connection before its request was complete."""


class Guard:
    """ASGI middleware. It receives a request's body whole, so what it wraps never waits for a client.

    `hosts` are the names by which the server may be called ("*": any).
    """

    def __init__(self, app: ASGIApp, limits: Limits, hosts: set[str], measures: Metrics):
        self.app, self.limits, self.hosts, self.measures = app, limits, hosts, measures
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started, status, chunks = perf_counter(), 500, []

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *SECURITY_HEADERS]
            await send(message)

        self.measures.in_flight.inc()
        try:
            headers = Headers(scope=scope)
            self.admit(scope["method"], headers)
            if scope["method"] == "POST":
                await self.read(headers, receive, chunks)
                receive = replay(b"".join(chunks), receive)
            await self.app(scope, receive, answer)
        except HTTPException as refusal:
            await refuse(refusal, receive, answer)
        except Gone:
            status = 499  # nginx's word for it
        finally:
            self.held -= sum(map(len, chunks))
            self.measures.in_flight.dec()
            self.measures.observe(scope["path"], status, perf_counter() - started)

    def admit(self, method: str, headers: Headers) -> None:
        """Refuse what a foreign web page could make a visitor's browser send here."""
        host = headers.get("host", "").lower()
        name = HOST.fullmatch(host)
        if "*" not in self.hosts and not (name and name[1] in self.hosts):
            raise HTTPException(400, "this server isn't called by that name; --allow-host adds one to those it has")
        if method in ("GET", "HEAD"):
            return
        # Only browsers send these two; a program that sends neither is nobody's puppet.
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        if site not in ("same-origin", "none") or (origin is not None and origin.lower().partition("://")[2] != host):
            raise HTTPException(403, "a page of another origin may not use this server")
        if headers.get("content-encoding", "identity") != "identity":
            raise HTTPException(415, "send the body uncompressed, without Content-Encoding")

    async def read(self, headers: Headers, receive: Receive, chunks: list[bytes]) -> None:
        """Receive a request's body into `chunks`, counting bytes and seconds, whatever Content-Length promises."""
        limits, size, more = self.limits, 0, True
        too_large = HTTPException(413, f"the body is larger than the {limits.body_bytes:,} bytes that are allowed")
        if int(headers.get("content-length", 0)) > limits.body_bytes:
            raise too_large
        try:
            async with asyncio.timeout(limits.body_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Gone
                    chunks.append(message.get("body", b""))
                    more = message.get("more_body", False)
                    size += len(chunks[-1])
                    self.held += len(chunks[-1])
                    if size > limits.body_bytes:
                        raise too_large
                    if self.held > limits.held_bytes:
                        raise busy("the requests that are here already fill the memory that is set apart for them")
        except TimeoutError:
            raise HTTPException(408, f"the body wasn't there after {limits.body_seconds:g} seconds") from None


class Workers:
    """A few threads for what would block the event loop, and a short queue before them."""

    def __init__(self, limits: Limits):
        self.pool = ThreadPoolExecutor(limits.threads, "worker")
        self.limit, self.pending = limits.threads + limits.queue, 0

    async def run(self, function: Callable, *arguments: Any) -> Any:
        """Call `function` in a thread; 503 if too many wait already."""
        if self.pending >= self.limit:
            raise busy("more requests wait than this server can answer soon")
        self.pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.pool, function, *arguments)
        finally:
            self.pending -= 1


def busy(why: str) -> HTTPException:
    return HTTPException(503, f"{why}; try again in a second", {"Retry-After": "1"})


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the whole body at once, and then what the client does next."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed


async def refuse(refusal: HTTPException, receive: Receive, send: Send) -> None:
    """Answer, then read on for a moment: closing on a client that still sends would reset what it should read."""
    body = json.dumps({"error": refusal.detail}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
    raw = [(key.lower().encode(), value.encode()) for key, value in {**headers, **(refusal.headers or {})}.items()]
    await send({"type": "http.response.start", "status": refusal.status_code, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    if refusal.status_code != 408:  # who was too slow has had time enough
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while (await receive()).get("more_body"):
                    pass
    await send({"type": "http.response.body"})
