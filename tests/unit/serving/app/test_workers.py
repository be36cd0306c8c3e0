"""A few threads, and a short queue in front of them."""

import asyncio
import threading
from collections.abc import Callable

import pytest
from starlette.exceptions import HTTPException

from serving.app.errors import ClientDisconnectedError
from serving.app.workers import Workers


async def stay() -> dict:
    """What a client sends while it waits for its answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def run(workers: Workers, function: Callable, *arguments: object, receive=stay) -> object:
    async with workers.place(receive) as place:
        return await place.run(function, *arguments)


def test_a_request_gets_no_thread_while_the_queue_is_full():
    async def scenario() -> None:
        workers, opened = Workers(threads=1, queue=1), threading.Event()
        running = [asyncio.create_task(run(workers, opened.wait)) for _ in range(2)]
        await asyncio.sleep(0)  # so that both have begun
        with pytest.raises(HTTPException) as refusal:
            await run(workers, opened.wait)
        assert (refusal.value.status_code, refusal.value.headers) == (503, {"Retry-After": "1"})
        opened.set()
        assert await asyncio.gather(*running) == [True, True]
        assert await run(workers, lambda: "free again") == "free again"

    asyncio.run(scenario())


def test_a_call_that_fails_frees_its_place():
    async def scenario() -> None:
        workers = Workers(threads=1, queue=0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await run(workers, divmod, 1, 0)
        assert await run(workers, divmod, 7, 2) == (3, 1)

    asyncio.run(scenario())


def test_what_waits_for_a_client_that_has_gone_is_dropped_and_its_place_is_free():
    async def scenario() -> None:
        workers, opened, left, called = Workers(threads=1, queue=1), threading.Event(), asyncio.Event(), []

        async def leave() -> dict:
            await left.wait()
            return {"type": "http.disconnect"}

        busy = asyncio.create_task(run(workers, opened.wait))
        waiting = asyncio.create_task(run(workers, called.append, "for nobody", receive=leave))
        await asyncio.sleep(0)
        left.set()
        with pytest.raises(ClientDisconnectedError):
            await waiting
        assert workers.pending == 1
        opened.set()
        assert await busy
        assert await run(workers, lambda: "next") == "next"
        assert called == []

    asyncio.run(scenario())


def test_a_call_that_has_begun_keeps_its_thread_until_it_ends_though_its_client_has_gone():
    async def scenario() -> None:
        workers, begun, opened, left = (
            Workers(threads=1, queue=9),
            threading.Event(),
            threading.Event(),
            asyncio.Event(),
        )

        async def leave() -> dict:
            await left.wait()
            return {"type": "http.disconnect"}

        def work() -> None:
            begun.set()
            opened.wait()

        gone = asyncio.create_task(run(workers, work, receive=leave))
        await asyncio.to_thread(begun.wait)
        left.set()
        with pytest.raises(ClientDisconnectedError):
            await gone
        assert workers.free.locked()
        opened.set()
        assert await run(workers, lambda: "then the next") == "then the next"

    asyncio.run(scenario())


def test_nothing_more_is_begun_for_a_client_that_left_between_two_calls():
    async def scenario() -> None:
        workers = Workers(threads=1, queue=0)

        async def gone() -> dict:
            return {"type": "http.disconnect"}

        async with workers.place(gone) as place:
            await asyncio.sleep(0)
            with pytest.raises(ClientDisconnectedError):
                await place.run(pytest.fail)

    asyncio.run(scenario())


def test_requests_take_turns_between_their_calls():
    """Two requests have three calls each; neither waits for all calls of the other."""

    async def scenario() -> list[str]:
        workers, order = Workers(threads=1, queue=1), []

        async def ask(name: str) -> None:
            async with workers.place(stay) as place:
                for _ in range(3):
                    await place.run(order.append, name)

        await asyncio.gather(ask("a"), ask("b"))
        return order

    assert asyncio.run(scenario()) == ["a", "b"] * 3
