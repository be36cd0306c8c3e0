"""A body is received as a whole, within limits on bytes, seconds and memory."""

import asyncio
from collections.abc import Iterable

import pytest
from starlette.exceptions import HTTPException

from serving.app.errors import ClientDisconnectedError
from serving.app.limits import Limits
from serving.app.middleware.bounded_body import BoundedBody

LIMITS = Limits(body_bytes=1000, held_bytes=1500, body_seconds=0.05)


class Application:
    """An app that records the bodies that it gets."""

    def __init__(self):
        self.bodies = []

    async def __call__(self, scope, receive, send) -> None:
        message = await receive()
        assert not message.get("more_body")
        self.bodies.append(message["body"])


def scope(method: str = "POST", **headers: str) -> dict:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": "/predict", "headers": raw}


def sending(pieces: Iterable[bytes], then: dict | None = None):
    """A `receive` that returns these pieces, and then waits for ever or returns one more message."""
    rest = iter([{"type": "http.request", "body": piece, "more_body": True} for piece in pieces])

    async def receive() -> dict:
        if (message := next(rest, None)) is not None:
            return message
        if then is None:
            await asyncio.Event().wait()
        return then

    return receive


LAST = {"type": "http.request", "body": b"", "more_body": False}


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def bounded(application) -> BoundedBody:
    return BoundedBody(application, LIMITS)


def test_a_body_in_pieces_arrives_whole(bounded, application):
    asyncio.run(bounded(scope(), sending([b"a" * 500, b"b" * 500], LAST), None))
    assert application.bodies == [b"a" * 500 + b"b" * 500]
    assert bounded.held_bytes == 0


def test_after_the_body_comes_what_the_client_does_next():
    seen = []

    async def application(scope, receive, send) -> None:
        seen.extend([await receive(), await receive()])

    gone = {"type": "http.disconnect"}
    messages = [LAST, gone]

    async def receive() -> dict:
        return messages.pop(0)

    asyncio.run(BoundedBody(application, LIMITS)(scope(), receive, None))
    assert seen == [{"type": "http.request", "body": b"", "more_body": False}, gone]


@pytest.mark.parametrize(
    ("headers", "pieces", "then", "status"),
    [
        ({"content_length": "1001"}, [], LAST, 413),
        ({"content_length": "10"}, [b"a" * 600, b"a" * 401], LAST, 413),
        ({}, [b"a" * 1001], LAST, 413),
        ({}, [b"a"], None, 408),
        ({"content_encoding": "gzip"}, [], LAST, 415),
    ],
    ids=str,
)
def test_a_body_beyond_the_limits_is_refused_and_let_go_of(bounded, application, headers, pieces, then, status):
    with pytest.raises(HTTPException) as refusal:
        asyncio.run(bounded(scope(**headers), sending(pieces, then), None))
    assert refusal.value.status_code == status
    assert application.bodies == []
    assert bounded.held_bytes == 0


def test_a_client_that_disconnects_is_no_refusal(bounded, application):
    with pytest.raises(ClientDisconnectedError):
        asyncio.run(bounded(scope(), sending([b"a"], {"type": "http.disconnect"}), None))
    assert (application.bodies, bounded.held_bytes) == ([], 0)


def test_nothing_is_received_before_a_get(bounded):
    async def application(scope, receive, send) -> None:
        assert receive is given

    given = sending([])
    asyncio.run(BoundedBody(application, LIMITS)(scope("GET"), given, None))


def test_bodies_that_arrive_at_once_share_a_budget_of_memory():
    """One client has sent 600 bytes of its body and pauses: 600 bytes from another client would exceed the 1,000."""

    async def scenario() -> list[object]:
        rest, statuses = asyncio.Event(), []

        async def application(scope, receive, send) -> None:
            assert len((await receive())["body"]) == 600
            statuses.append(200)

        async def ask(wait: bool) -> None:
            pieces = iter([{"type": "http.request", "body": bytes(600), "more_body": True}])

            async def receive() -> dict:
                if piece := next(pieces, None):
                    return piece
                if wait:
                    await rest.wait()
                return LAST

            try:
                await bounded(scope(), receive, None)
            except HTTPException as refusal:
                statuses.append((refusal.status_code, refusal.headers))

        bounded = BoundedBody(application, Limits(body_bytes=1000, held_bytes=1000))
        first = asyncio.create_task(ask(wait=True))
        await asyncio.sleep(0)  # so that it has sent its 600
        assert bounded.held_bytes == 600
        await ask(wait=False)
        rest.set()
        await first
        await ask(wait=False)
        assert bounded.held_bytes == 0
        return statuses

    assert asyncio.run(scenario()) == [(503, {"Retry-After": "1"}), 200, 200]


def test_what_is_no_request_goes_through():
    seen = []

    async def application(scope, receive, send) -> None:
        seen.append(scope["type"])

    asyncio.run(BoundedBody(application, LIMITS)({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]
