"""The limits: requests that are too large, too slow or too many are refused; the probes still answer meanwhile."""

import http.client
import select
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import numpy as np
import pytest

from tests.helpers import client as clients
from tests.helpers.client import JSON, PNG, RAW, Answer
from tests.helpers.pictures import encode
from tests.helpers.server import running

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def strict(project):
    """An app that waits four seconds for a body of at most ten megabytes; no request may wait for its only thread."""
    limits = {"--body-seconds": "4", "--body-bytes": str(10 * MEGABYTE), "--threads": "1", "--queue": "0"}
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
    return clients.read_answer(response)


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


def test_silent_clients_keep_nobody_out(strict):
    with ExitStack() as clients:
        silent = [clients.enter_context(socket.create_connection(("127.0.0.1", strict.port), 60)) for _ in range(600)]
        assert strict.get("/healthz").status == 200
        assert strict.predict(bytes(784)).status == 200
        with suppress(ConnectionResetError):  # the server has closed the first connection
            assert silent[0].recv(1) == b""


def test_the_requests_that_find_no_thread_are_asked_to_come_back(strict):
    """One thread gets eight large scans at once; probes still answer, and so do arrays, which have their own thread."""
    digit = np.zeros((28, 28), np.uint8)
    digit[6:22, 12:16] = 255
    scan = encode(np.kron(digit, np.ones((200, 200), np.uint8)))
    together = threading.Barrier(9)

    def ask(_) -> Answer:
        together.wait()
        return strict.predict(scan, PNG)

    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(ask, range(8))
        together.wait()
        probes = [strict.get(path).status for path in ("/healthz", "/readyz", "/metrics", "/ping")]
        arrays = strict.invoke({"inputs": np.zeros((1, 28, 28), int).tolist()}).status
        answers = list(answers)
    assert (probes, arrays) == ([200] * 4, 200)
    statuses = Counter(answer.status for answer in answers)
    assert set(statuses) == {200, 503}, statuses
    assert {answer.headers.get("retry-after") for answer in answers if answer.status == 503} == {"1"}
