"""A few threads for work that would block the event loop, and a short queue before them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar, TypeVarTuple

from starlette.types import Receive

from serving.app.errors import ClientDisconnectedError, overloaded

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class Workers:
    """`threads` threads for one kind of work; at most `queue` requests wait for a free one."""

    def __init__(self, threads: int, queue: int):
        self.pool = ThreadPoolExecutor(threads, "worker")
        # Requests wait here and not in the pool, which would keep the data of clients that have disconnected.
        self.free = asyncio.Semaphore(threads)
        self.max_pending, self.pending = threads + queue, 0

    @asynccontextmanager
    async def place(self, receive: Receive) -> "AsyncIterator[Place]":
        """Give a request its place in the queue, for one call or several; 503 (HTTPException) if there is none."""
        if self.pending >= self.max_pending:
            raise overloaded("more requests wait than this server can answer soon")
        self.pending += 1
        gone = asyncio.ensure_future(wait_for_disconnect(receive))
        try:
            yield Place(self, gone)
        finally:
            gone.cancel()
            self.pending -= 1

    async def call(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Call `function` in a thread, once one is free. If this is cancelled, a call that has begun goes on."""
        await self.free.acquire()
        running = asyncio.get_running_loop().run_in_executor(self.pool, function, *arguments)
        running.add_done_callback(lambda _: self.free.release())
        return await asyncio.shield(running)


class Place:
    """A request's place before the threads."""

    def __init__(self, workers: Workers, gone: asyncio.Future[None]):
        self.workers, self.gone = workers, gone

    async def run(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Call `function` in a thread; ClientDisconnectedError if the client goes, also before the call has begun."""
        if self.gone.done():
            raise ClientDisconnectedError
        call = asyncio.ensure_future(self.workers.call(function, *arguments))
        either: tuple[asyncio.Future[Any], ...] = (call, self.gone)
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not call.done():
                raise ClientDisconnectedError
            return call.result()
        finally:
            call.cancel()


async def wait_for_disconnect(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
