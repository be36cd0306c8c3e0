"""A few threads, and a short queue before them."""

import asyncio
import threading

import pytest
from starlette.exceptions import HTTPException

from serving.app.workers import Workers


def test_a_request_gets_no_thread_while_the_queue_is_full():
    async def scenario() -> None:
        workers, opened = Workers(threads=1, queue=1), threading.Event()
        running = [asyncio.create_task(workers.run(opened.wait)) for _ in range(2)]
        await asyncio.sleep(0)  # so that both have begun
        with pytest.raises(HTTPException) as refusal:
            await workers.run(opened.wait)
        assert (refusal.value.status_code, refusal.value.headers) == (503, {"Retry-After": "1"})
        opened.set()
        assert await asyncio.gather(*running) == [True, True]
        assert await workers.run(lambda: "free again") == "free again"

    asyncio.run(scenario())


def test_a_call_that_fails_frees_its_place():
    async def scenario() -> None:
        workers = Workers(threads=1, queue=0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await workers.run(divmod, 1, 0)
        assert await workers.run(divmod, 7, 2) == (3, 1)

    asyncio.run(scenario())
