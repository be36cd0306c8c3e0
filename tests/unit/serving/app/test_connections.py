"""What a connection may cost before its request has arrived."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
import uvicorn
from uvicorn.server import ServerState

from serving.app import connections
from serving.app.connections import BYTES_PER_PIECE, FREE_PIECES, BoundedProtocol

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


class Server:
    """A server on a free port; its app answers with the length of the body, on /wait only when the test allows it."""

    def __init__(self):
        self.let, self.asked, self.clients = asyncio.Event(), [], []

    async def app(self, scope, receive, send) -> None:
        size, more = 0, True
        self.asked.append(scope["path"])
        while more and scope["method"] == "POST":
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message["body"])
            more = message["more_body"]
        if scope["path"] == "/wait":
            await self.let.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"8")]})
        await send({"type": "http.response.body", "body": b"%8d" % size})

    async def connect(self) -> tuple[Reader, Writer]:
        client = await asyncio.open_connection("127.0.0.1", self.port)
        self.clients.append(client)  # asyncio closes those that nobody holds
        return client

    async def ask(self, request: bytes) -> bytes:
        """What a new connection receives until it is closed or has an answer of the app."""
        reader, writer = await self.connect()
        writer.write(request)
        return await answer(reader)


async def answer(reader: Reader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head + (await reader.readexactly(8) if b"200 OK" in head else await reader.read())


async def read_until_closed(reader: Reader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


def serve(scenario: Callable[[Server], Awaitable[None]]) -> None:
    async def run() -> None:
        server, state = Server(), ServerState()
        config = uvicorn.Config(server.app, interface="asgi3", log_config=None, lifespan="off")
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: BoundedProtocol(config, state, {}), "127.0.0.1", 0)
        server.port = listener.sockets[0].getsockname()[1]
        try:
            async with asyncio.timeout(20):
                await scenario(server)
        finally:
            listener.close()
            for connection in list(state.connections):
                connection.transport.abort()

    asyncio.run(run())


@pytest.mark.parametrize("begun", [b"", b"GET /", GET[:-2], GET + b"G", GET + GET[:-2], b"PUT" + GET[3:-2]])
def test_a_connection_that_does_not_ask_is_closed(monkeypatch, begun):
    """Silent, in the middle of a header, after an answer, or still sending data that is not expected."""
    monkeypatch.setattr(connections, "IDLE_S", 0.05)

    async def scenario(server: Server) -> None:
        reader, writer = await server.connect()
        writer.write(begun)
        await read_until_closed(reader)

    serve(scenario)


def test_a_body_that_goes_on_after_its_answer_does_not_keep_the_connection(monkeypatch):
    monkeypatch.setattr(connections, "IDLE_S", 0.3)

    async def scenario(server: Server) -> None:
        reader, writer = await server.connect()
        writer.write(b"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        assert b"200 OK" in await answer(reader)
        await read_until_closed(reader)

    serve(scenario)


def test_a_request_that_takes_long_to_answer_is_not_cut_off(monkeypatch):
    monkeypatch.setattr(connections, "IDLE_S", 0.5)

    async def scenario(server: Server) -> None:
        asked = asyncio.create_task(server.ask(GET.replace(b"/", b"/wait", 1)))
        while not server.asked:
            await asyncio.sleep(0)
        reader, _ = await server.connect()
        await reader.read()  # the time of a silent connection is over
        server.let.set()
        assert b"200 OK" in await asked

    serve(scenario)


def test_of_too_many_connections_the_longest_silent_one_gives_way_and_none_that_is_answered(monkeypatch):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)

    async def scenario(server: Server) -> None:
        busy, writer = await server.connect()
        writer.write(GET.replace(b"/", b"/wait", 1))
        while not server.asked:
            await asyncio.sleep(0)
        oldest, _ = await server.connect()
        slow, writer = await server.connect()
        writer.write(CHUNKED + b"1\r\na\r\n")
        assert b"200 OK" in await server.ask(GET)
        assert await oldest.read() == b""
        assert b"200 OK" in await server.ask(GET)
        assert b"200 OK" in await server.ask(GET)
        assert await read_until_closed(slow) == b""  # a body that never comes is no better than silence
        server.let.set()
        assert b"200 OK" in await answer(busy)

    serve(scenario)


@pytest.mark.parametrize(
    "sizes", [[1] * FREE_PIECES, [BYTES_PER_PIECE] * 3000, [1, 6000] * 1500], ids=["1", "512", "both"]
)
def test_a_body_in_pieces_of_some_size_arrives(sizes):
    async def scenario(server: Server) -> None:
        body = b"".join(b"%x\r\n" % size + bytes(size) + b"\r\n" for size in sizes)
        assert (await server.ask(CHUNKED + body + b"0\r\n\r\n")).endswith(b"%8d" % sum(sizes))

    serve(scenario)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (CHUNKED + b"1\r\na\r\n" * (FREE_PIECES + 9), "at least 512 bytes in each"),
        (CHUNKED.replace(b"chunked\r\n", b"chunked\r\nContent-Length: 4\r\n") + b"0\r\n\r\n" + GET, "not both"),
        (CHUNKED.replace(b"Tr", b"Content-Length: 4\r\nTr") + b"0\r\n\r\n" + GET, "not both"),
        (GET[:-2] + b"a: b\r\n" * 20_000 + b"\r\n", "no valid HTTP"),
        (GET[:-2] + b"a" * 50_000, "no valid HTTP"),
        (b"\x16\x03\x01", "no valid HTTP"),
        (b"GET / HTTP/1.1\r\n\r\n", "no valid HTTP"),
        (b"\r\n\r\n", "no valid HTTP"),
    ],
    ids=["small pieces", "both lengths", "both lengths, turned round", "headers", "header", "TLS", "no host", "empty"],
)
def test_what_is_refused_is_told_in_one_sentence_and_ends_the_connection(request_, message):
    async def scenario(server: Server) -> None:
        head, _, body = (await server.ask(request_)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert b"connection: close" in head.lower()
        assert message in json.loads(body)["error"]

    serve(scenario)
