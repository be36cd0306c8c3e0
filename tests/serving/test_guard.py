"""The limits: large, slow, foreign and too many requests are refused, and the probes answer meanwhile."""

import asyncio
import http.client
import io
import select
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from starlette.exceptions import HTTPException

from serving.app.guard import Guard, Limits, Workers
from serving.app.metrics import Metrics
from tests.helpers.server import JSON, PNG, RAW, Answer, running

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def strict(project):
    """An app that waits a second for a body of at most ten megabytes, and lets nobody wait for its one thread."""
    limits = {"--body-seconds": "1", "--body-bytes": str(10 * MEGABYTE), "--threads": "1", "--queue": "0"}
    with running(project, *(word for option in limits.items() for word in option)) as app:
        yield app


def upload(app, path: str, kind: str, length: str, piece: bytes) -> Answer:
    """Send `piece` a hundred times, or until the server answers."""
    with socket.create_connection(("127.0.0.1", app.port), 60) as client:
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{length}\r\n\r\n".encode())
        for _ in range(100):
            if select.select([client], [], [], 0)[0]:
                break
            client.sendall(piece)
        return read_answer(client)


def read_answer(client: socket.socket) -> Answer:
    response = http.client.HTTPResponse(client)
    response.begin()
    return Answer(response)


@pytest.mark.parametrize("kind", [RAW, JSON, PNG, "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("path", ["/predict", "/invocations"])
def test_100_megabytes_are_refused_and_not_kept(strict, path, kind):
    before = strict.memory
    promised = upload(strict, path, kind, f"Content-Length: {100 * MEGABYTE}", bytes(MEGABYTE))
    chunk = b"100000\r\n" + bytes(MEGABYTE) + b"\r\n"
    counted = upload(strict, path, kind, "Transfer-Encoding: chunked", chunk)
    for answer in (promised, counted):
        assert (answer.status, list(answer.json)) == (413, ["error"])
        assert "10,485,760" in answer.json["error"]
    assert strict.memory - before < 50 * MEGABYTE


def test_a_client_that_does_not_look_up_while_it_sends_can_read_the_refusal(strict):
    answer = strict.predict(bytes(11 * MEGABYTE))
    assert answer.status == 413


def test_a_client_that_sends_too_slowly_is_answered_and_left(strict):
    with socket.create_connection(("127.0.0.1", strict.port), 60) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n")
        client.sendall(b"Content-Length: 784\r\n\r\n" + bytes(783))
        answer = read_answer(client)
        assert (answer.status, list(answer.json)) == (408, ["error"])
        assert client.recv(1) == b""


def test_a_client_that_goes_away_is_no_fault_of_the_server(strict):
    with socket.create_connection(("127.0.0.1", strict.port), 60) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 784\r\n\r\nabc")
    assert strict.get("/healthz").status == 200
    assert "Traceback" not in strict.log


def test_the_requests_that_find_no_thread_are_told_to_come_back(strict):
    """Eight large scans at once, for one thread; the probes answer meanwhile."""
    digit = np.zeros((28, 28), np.uint8)
    digit[6:22, 12:16] = 255
    file = io.BytesIO()
    Image.fromarray(np.kron(digit, np.ones((200, 200), np.uint8))).save(file, "PNG")
    together = threading.Barrier(9)

    def ask(_) -> Answer:
        together.wait()
        return strict.predict(file.getvalue(), PNG)

    with ThreadPoolExecutor(8) as clients:
        answers = clients.map(ask, range(8))
        together.wait()
        probes = [strict.get(path).status for path in ("/healthz", "/readyz", "/metrics", "/ping")]
        answers = list(answers)
    assert probes == [200] * 4
    statuses = Counter(answer.status for answer in answers)
    assert set(statuses) == {200, 503}, statuses
    assert {answer.headers.get("retry-after") for answer in answers if answer.status == 503} == {"1"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "LOCALHOST"}, 200),
        ({"Host": "[::1]:80"}, 200),
        ({"Host": "evil.example"}, 400),
        ({"Host": "127.0.0.1.evil.example"}, 400),
        ({"Host": "evil.example:80@127.0.0.1"}, 400),
        ({"Host": ""}, 400),
        ({"Host": "localhost:8000", "Origin": "http://localhost:8000", "Sec_Fetch_Site": "same-origin"}, 200),
        ({"Sec_Fetch_Site": "none"}, 200),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Host": "localhost:8000", "Origin": "http://localhost:5000"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content_Encoding": "gzip"}, 415),
    ],
    ids=str,
)
def test_only_this_servers_own_pages_and_programs_are_answered(strict, headers, status):
    answer = strict.predict(bytes(784), **headers)
    assert answer.status == status, answer.body
    assert "evil" not in answer.body.decode()
    assert "x-content-type-options" in answer.headers


def test_a_request_gets_no_thread_while_the_queue_is_full():
    async def scenario() -> None:
        workers, opened = Workers(Limits(threads=1, queue=1)), threading.Event()
        running = [asyncio.create_task(workers.run(opened.wait)) for _ in range(2)]
        await asyncio.sleep(0)  # so that both have begun
        with pytest.raises(HTTPException) as refusal:
            await workers.run(opened.wait)
        assert (refusal.value.status_code, refusal.value.headers) == (503, {"Retry-After": "1"})
        opened.set()
        assert await asyncio.gather(*running) == [True, True]
        assert await workers.run(lambda: "free again") == "free again"

    asyncio.run(scenario())


def test_bodies_that_arrive_at_once_share_a_budget_of_memory():
    """One client has sent 600 bytes of its body and pauses: another's 600 would be more than 1,000."""

    async def scenario() -> list[int]:
        rest, statuses = asyncio.Event(), []

        async def application(scope, receive, send) -> None:
            assert len((await receive())["body"]) == 600
            await send({"type": "http.response.start", "status": 200})

        async def ask(wait: bool) -> None:
            pieces = iter([{"type": "http.request", "body": bytes(600), "more_body": True}])

            async def receive() -> dict:
                if piece := next(pieces, None):
                    return piece
                if wait:
                    await rest.wait()
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message: dict) -> None:
                if message["type"] == "http.response.start":
                    statuses.append(message["status"])

            headers = [(b"host", b"localhost")]
            await guard({"type": "http", "method": "POST", "path": "/predict", "headers": headers}, receive, send)

        guard = Guard(application, Limits(body_bytes=1000, held_bytes=1000), {"localhost"}, Metrics())
        first = asyncio.create_task(ask(wait=True))
        await asyncio.sleep(0)  # so that it has sent its 600
        await ask(wait=False)
        rest.set()
        await first
        await ask(wait=False)
        assert guard.held == 0
        return statuses

    assert asyncio.run(scenario()) == [503, 200, 200]
