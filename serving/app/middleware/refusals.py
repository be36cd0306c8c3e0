"""Answers a request that another middleware refuses."""

import asyncio
import json
from contextlib import suppress

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

LINGER_S = 5.0  # how long data from a refused client is still read and discarded


class Refusals:
    """Turn the HTTPException of an inner middleware into an answer, {"error": "one sentence"}, and hang up."""

    def __init__(self, app: ASGIApp, linger_s: float = LINGER_S):
        self.app, self.linger_s = app, linger_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except HTTPException as refusal:
            await self.refuse(refusal, receive, send)

    async def refuse(self, refusal: HTTPException, receive: Receive, send: Send) -> None:
        """Answer, then read on for `linger_s`: to close while the client still sends would reset the connection.

        The client could then not read the answer.
        """
        body = json.dumps({"error": refusal.detail}).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
        raw = [(key.lower().encode(), value.encode()) for key, value in {**headers, **(refusal.headers or {})}.items()]
        await send({"type": "http.response.start", "status": refusal.status_code, "headers": raw})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        if refusal.status_code != 408:  # a client that was too slow has had time enough
            with suppress(TimeoutError):
                async with asyncio.timeout(self.linger_s):
                    while (await receive()).get("more_body"):
                        pass
        await send({"type": "http.response.body"})
