"""HTTP on one connection: uvicorn's protocol, with bounds on what a client costs before its request is there."""

import asyncio
import json
from collections import Counter
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 512  # at one time; each takes some memory, even if it says nothing
CLOSED_SHARE = 16  # if there are too many connections, one of this many waiting ones is closed
IDLE_S = 10.0  # from the start of a connection, or the end of an answer, to the end of a request's header
UNREAD_S = 60.0  # instead of IDLE_S, if the client has not yet read all of an answer
LINGER_S = 5.0  # how long data from a refused client is still read and discarded
MAX_HEADER_BYTES = 16 << 10
# Each piece of a body costs 5 µs to parse, however small. FREE_PIECES are allowed, and one more per BYTES_PER_PIECE.
FREE_PIECES, BYTES_PER_PIECE = 1000, 512


class BoundedConnection(h11.Connection):
    """h11's state machine, which refuses ambiguous headers, and bodies in pieces that are too small."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEADER_BYTES)
        self.body_bytes = self.pieces = 0
        self.refusal = "the request is no valid HTTP"

    def next_event(self) -> Any:
        """Return h11's next event; RemoteProtocolError, and the reason in `refusal`, for what h11 would accept."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            self.body_bytes = self.pieces = 0
            names = {name for name, _ in event.headers}
            # RFC 9112, section 6.1: an attempt to smuggle a second request past a proxy that obeys the other header.
            if {b"content-length", b"transfer-encoding"} <= names:
                self.refuse("a request has either Content-Length or Transfer-Encoding, not both")
        elif isinstance(event, h11.Data):
            self.pieces += 1
            self.body_bytes += len(event.data)
            if self.pieces > FREE_PIECES + self.body_bytes // BYTES_PER_PIECE:
                self.refuse(f"the body comes in too small pieces: send at least {BYTES_PER_PIECE} bytes in each")
        return event

    def refuse(self, sentence: str) -> None:
        """Raise h11's error for a wrong request."""
        self.refusal = sentence
        raise h11.RemoteProtocolError(sentence)


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol with a deadline for each header and a bound on the number of connections.

    A connection waits for its client until a request's header and body are there. When there are too many connections,
    those that have waited longest are closed, so that silent clients can't keep others out: first those of the address
    with the most waiting connections. An address has no limit of its own: behind a proxy, where all clients have one
    address, only the time of waiting counts.
    """

    conn: BoundedConnection

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        self.conn = BoundedConnection()
        self.waiting_since = self.loop.time()
        self.deadline: asyncio.TimerHandle | None = None
        self.is_refused = False

    @property
    def is_idle(self) -> bool:
        """Whether no request is being received or answered."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def is_waiting(self) -> bool:
        """Whether the server waits for the client."""
        return self.is_idle or self.cycle.more_body

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a header, and make room."""
        super().connection_made(transport)
        self.wait()
        if len(self.connections) > MAX_CONNECTIONS:
            close_longest_waiting(self.connections)  # type: ignore[arg-type]  # they are of this class

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadline, because the connection has ended."""
        self.stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the data in small parts, so that a too large header is refused before all of it is parsed."""
        for start in range(0, len(data), MAX_HEADER_BYTES):
            if not (self.is_refused or self.transport.is_closing()):
                super().data_received(data[start : start + MAX_HEADER_BYTES])
        if not (self.is_idle or self.is_refused):
            self.stop_waiting()

    def on_response_complete(self) -> None:
        """Begin to wait for the next header; also for the rest of a body that was answered early."""
        self.wait()
        super().on_response_complete()  # starts on the next request if it is there already
        if not self.is_idle:
            self.stop_waiting()

    def wait(self) -> None:
        """Begin to wait, and hang up unless a header is there in time."""
        self.waiting_since = self.loop.time()
        self.hang_up_after(UNREAD_S if self.transport.get_write_buffer_size() else IDLE_S)

    def hang_up_after(self, seconds: float) -> None:
        """Set the deadline, in place of an earlier one."""
        self.stop_waiting()
        self.deadline = self.loop.call_later(seconds, self.transport.abort)

    def stop_waiting(self) -> None:
        """Cancel the deadline."""
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def send_400_response(self, msg: str) -> None:
        """Refuse with one sentence, as the app does, and hang up; if an answer has begun, only hang up."""
        self.is_refused = True
        if self.cycle is not None:  # if the app has the request already, its answer is dropped
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        body = json.dumps({"error": self.conn.refusal}).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Connection", "close")]
        for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        # To close while the client still sends would reset the connection before the client has read the answer.
        self.transport.write_eof()
        self.hang_up_after(LINGER_S)


def close_longest_waiting(connections: set[BoundedProtocol]) -> None:
    """Close connections whose clients keep the server waiting: several at once, because finding them takes time."""
    waiting = [each for each in connections if each.is_waiting]
    number = Counter(map(peer, waiting))
    waiting.sort(key=lambda each: (-number[peer(each)], each.waiting_since))
    for connection in waiting[: -(-len(waiting) // CLOSED_SHARE)]:
        connections.discard(connection)  # now, not later in the event loop: the next connection counts them
        connection.transport.abort()


def peer(connection: BoundedProtocol) -> str:
    """Return the address of a connection's client."""
    return connection.client[0] if connection.client else ""
