"""Errors that end a request without an answer from its route."""

from starlette.exceptions import HTTPException


class ClientDisconnectedError(Exception):
    """The client closed the connection before its request was complete."""


def overloaded(cause: str) -> HTTPException:
    """Return the 503 that asks a client to try again in a second."""
    return HTTPException(503, f"{cause}; try again in a second", {"Retry-After": "1"})
