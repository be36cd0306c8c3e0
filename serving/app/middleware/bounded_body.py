"""Receives the whole body of a request, within limits of bytes and seconds."""

import asyncio

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.app.errors import ClientDisconnectedError, overloaded
from serving.app.limits import Limits


class BoundedBody:
    """Receive the body of each POST before the app is called, so that the app never waits for a client.

    `held_bytes` is the size of the bodies of all requests that are being received or answered.
    """

    def __init__(self, app: ASGIApp, limits: Limits):
        self.app, self.limits = app, limits
        self.held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers, chunks = Headers(scope=scope), list[bytes]()
        if scope["method"] not in ("GET", "HEAD") and headers.get("content-encoding", "identity") != "identity":
            raise HTTPException(415, "send the body uncompressed, without Content-Encoding")
        try:
            if scope["method"] == "POST":
                await self.read(headers, receive, chunks)
                receive = replay(b"".join(chunks), receive)
            await self.app(scope, receive, send)
        finally:
            self.held_bytes -= sum(len(chunk) for chunk in chunks)
            chunks.clear()  # or a refusal's traceback would keep them until the client has read the answer

    async def read(self, headers: Headers, receive: Receive, chunks: list[bytes]) -> None:
        """Receive a body into `chunks`, and count its bytes and seconds, whatever Content-Length says.

        Raises HTTPException: 408 too slow, 413 too large, 503 no memory for it now; or ClientDisconnectedError.
        """
        limits, size, more = self.limits, 0, True
        too_large = HTTPException(413, f"the body is larger than the {limits.body_bytes:,} bytes that are allowed")
        if int(headers.get("content-length", 0)) > limits.body_bytes:
            raise too_large
        try:
            async with asyncio.timeout(limits.body_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnectedError
                    chunks.append(message.get("body", b""))
                    more = message.get("more_body", False)
                    size += len(chunks[-1])
                    self.held_bytes += len(chunks[-1])
                    if size > limits.body_bytes:
                        raise too_large
                    if self.held_bytes > limits.held_bytes:
                        raise overloaded("the requests in progress already fill the memory that is set apart for them")
        except TimeoutError:
            raise HTTPException(408, f"the body didn't arrive within {limits.body_seconds:g} seconds") from None


def replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the whole body in one message, and then the client's next messages."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed
