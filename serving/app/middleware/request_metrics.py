"""Counts and times requests."""

from collections.abc import Sequence
from time import perf_counter

from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.app.errors import ClientDisconnectedError
from serving.app.metrics import Metrics

CLIENT_CLOSED_REQUEST = 499  # nginx's status for it: no answer was sent


class RequestMetrics:
    """Observe each request's status and seconds, from its first byte to the last of its answer."""

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: Sequence[BaseRoute]):
        self.app, self.metrics = app, metrics
        self.paths = {route.path for route in routes if isinstance(route, Route | Mount)}
        self.folders = [route.path for route in routes if isinstance(route, Mount)]

    def name_route(self, path: str) -> str:
        """Return the path of the route that a request belongs to, or "other", so that clients can't create labels."""
        if path in self.paths:
            return path
        return next((folder for folder in self.folders if path.startswith(f"{folder}/")), "other")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        start, status = perf_counter(), 500

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self.metrics.in_flight.inc()
        try:
            await self.app(scope, receive, note_status)
        except ClientDisconnectedError:
            status = CLIENT_CLOSED_REQUEST
        finally:
            self.metrics.in_flight.dec()
            self.metrics.observe(self.name_route(scope["path"]), status, perf_counter() - start)
