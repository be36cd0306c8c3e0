"""A few threads for what would block the event loop, and a short queue before them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

from serving.app.errors import overloaded

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class Workers:
    """`threads` threads; at most `queue` calls wait for one."""

    def __init__(self, threads: int, queue: int):
        self.pool = ThreadPoolExecutor(threads, "worker")
        self.max_pending, self.pending = threads + queue, 0

    async def run(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Call `function` in a thread; 503 (HTTPException) if too many calls wait already."""
        if self.pending >= self.max_pending:
            raise overloaded("more requests wait than this server can answer soon")
        self.pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.pool, function, *arguments)
        finally:
            self.pending -= 1
