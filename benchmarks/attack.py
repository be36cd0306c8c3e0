"""Attack the app in every way at once, and see who is still answered: `python -m benchmarks.attack MODEL [seconds]`.

520 connections are silent, 100 send a byte of a header each second, 8 send chunks of one byte, 4 send costly images and
hang up now and then, and 40 send several images at once, which are large or have packed notes. A connection that is
closed is opened again. Prints how long /healthz took during the attack, how long a normal image took after it, and the
server's memory.
"""

import asyncio
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from benchmarks.costliest import STARTS, make_jpeg, make_png
from benchmarks.servers import Server

SILENT, TRICKLES, CRUMBLES, COSTLY, SEVERAL = 520, 100, 8, 4, 40
PROBE_EVERY_S = 0.1
NORMAL = {"files": 1, "pixels": 512**2, "ratio": 1, "color": 0, "depth": 8, "filter": 0, "interlace": 0, "noise": 0,
          "drawing": "bar", "note": 0, "texts": 0, "chunks": 0, "piece": 1 << 30}  # fmt: skip
LARGE = NORMAL | {"files": 4, "pixels": 9_900_000, "color": 2}
NOTED = NORMAL | {"files": 24, "pixels": 1000, "texts": 4}
Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def post(body: bytes, kind: str) -> bytes:
    """Return a whole request to /predict."""
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def stay_silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Say nothing until the server hangs up."""
    await reader.read()


async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a header that never ends, one byte per second."""
    writer.write(b"GET / HTTP/1.1\r\nX: ")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(1)


async def crumble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a body in chunks of one byte, as fast as they go."""
    writer.write(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1\r\na\r\n" * 10_000)
        await writer.drain()


def sender(requests: list[bytes]) -> Client:
    """Return a client that sends costly images in turn, and doesn't wait for every third answer."""
    turn = 0

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal turn
        turn += 1
        writer.write(requests[turn % len(requests)])
        await writer.drain()
        if turn % 3:
            await reader.readline()

    return send


async def attack(port: int, seconds: float, costly: list[bytes], several: list[bytes]) -> None:
    """Run all clients for `seconds`; start each one again when it has ended."""
    clients: list[Client] = [*[stay_silent] * SILENT, *[trickle] * TRICKLES, *[crumble] * CRUMBLES]
    clients += [*[sender(costly)] * COSTLY, *[sender(several)] * SEVERAL]

    async def repeat(client: Client) -> None:
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    await client(reader, writer)
                finally:
                    writer.close()
            await asyncio.sleep(0.1)

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(repeat(client))


def run_attack(port: int, seconds: float, costly: list[bytes], several: list[bytes]) -> None:
    """Run the attack, in a process of its own."""
    asyncio.run(attack(port, seconds, costly, several))


def ask(server: Server, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[float, int]:
    """Return the seconds until a request on a new connection was answered, and the status; 0 if it wasn't."""
    start = time.perf_counter()
    try:
        connection = server.connect()
        connection.request(method, path, body or None, {"Content-Type": kind} if kind else {})
        answer = connection.getresponse()
        answer.read()
        connection.close()
    except OSError:
        return time.perf_counter() - start, 0
    return time.perf_counter() - start, answer.status


def main() -> None:
    """Attack, and print what other clients measured."""
    model, seconds = [*sys.argv[1:], *("models:/mnist@champion", "60")[len(sys.argv) - 1 :]]
    costly = [post(body, kind) for _, kind, body in (make_png(STARTS["png"]), make_jpeg(STARTS["jpeg"]))]
    several = [post(body, kind) for _, kind, body in map(make_png, (LARGE, NOTED))]
    path, kind, normal = make_png(NORMAL)
    with tempfile.TemporaryDirectory() as folder:
        server = Server([sys.executable, "-m", "serving.app", model], "/healthz", Path(folder) / "log")
        try:
            print(f"before: a normal image in {ask(server, 'POST', path, normal, kind)[0]:.2f} s")
            print(f"{server.memory_bytes() >> 20} MB")
            attackers = multiprocessing.Process(target=run_attack, args=(server.port, float(seconds), costly, several))
            attackers.start()
            probes, memory = [], 0
            while attackers.is_alive():
                probes.append(ask(server, "GET", "/healthz"))
                memory = max(memory, server.memory_bytes())
                time.sleep(PROBE_EVERY_S)
            took, status = ask(server, "POST", path, normal, kind)
            times = sorted(seconds for seconds, _ in probes)
            failed = sum(status != 200 for _, status in probes)
            print(f"meanwhile: {len(probes)} × /healthz: {failed} failed, median {statistics.median(times):.3f} s, "
                  f"at most {times[-1]:.2f} s; memory at most {memory >> 20} MB")  # fmt: skip
            print(f"after: a normal image in {took:.2f} s, status {status}; {server.memory_bytes() >> 20} MB")
            trace = "Traceback" in (Path(folder) / "log").read_text()
            print(f"the log has {'a' if trace else 'no'} stack trace")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
