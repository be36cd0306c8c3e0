"""A refusal is an answer that the client can read."""

import asyncio
import json

import pytest
from starlette.exceptions import HTTPException

from serving.app.errors import overloaded
from serving.app.middleware.refusals import Refusals


def refuse(refusal: HTTPException, received: list[dict], linger_s: float = 0.05) -> tuple[list[dict], int]:
    """The messages that are sent as a refusal, and how many of the client's messages were read."""
    sent, waiting = [], list(received)

    async def application(scope, receive, send) -> None:
        raise refusal

    async def receive() -> dict:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(Refusals(application, linger_s)({"type": "http"}, receive, send))
    return sent, len(received) - len(waiting)


MORE = {"type": "http.request", "body": b"a", "more_body": True}
LAST = {"type": "http.request", "body": b"", "more_body": False}
GONE = {"type": "http.disconnect"}


def test_a_refusal_is_one_sentence_and_the_end_of_the_connection():
    (start, body, end), _ = refuse(overloaded("too much"), [LAST])
    headers = dict(start["headers"])
    assert (start["status"], json.loads(body["body"])) == (503, {"error": "too much; try again in a second"})
    assert headers[b"connection"] == b"close"
    assert headers[b"retry-after"] == b"1"
    assert headers[b"content-type"] == b"application/json"
    assert int(headers[b"content-length"]) == len(body["body"])
    assert (body["more_body"], end) == (True, {"type": "http.response.body"})


@pytest.mark.parametrize(
    ("status", "received", "read"),
    [
        (413, [MORE, MORE, LAST, MORE], 3),  # to the end of the request, and no further
        (413, [MORE, GONE, MORE], 2),
        (413, [MORE, MORE], 2),  # then it waits only a moment
        (408, [MORE, LAST], 0),  # the client was too slow already
    ],
)
def test_what_the_client_still_sends_is_thrown_away_for_a_moment(status, received, read):
    sent, count = refuse(HTTPException(status, "no"), received)
    assert (count, len(sent)) == (read, 3)
