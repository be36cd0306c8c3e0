"""Each request is counted once, however it ends."""

import asyncio

import pytest

from serving.app.errors import ClientDisconnectedError
from serving.app.metrics import Metrics
from serving.app.middleware.request_metrics import RequestMetrics

SCOPE = {"type": "http", "path": "/predict"}


def requests(metrics: Metrics) -> dict[str, float]:
    """The number of requests to /predict by their status."""
    samples = [sample for metric in metrics.requests.collect() for sample in metric.samples]
    return {sample.labels["status"]: sample.value for sample in samples if sample.name.endswith("_total")}


async def ignore(message: dict) -> None:
    pass


@pytest.mark.parametrize("status", [200, 413])
def test_the_status_is_that_of_the_answer(status):
    async def application(scope, receive, send) -> None:
        assert metrics.in_flight.collect()[0].samples[0].value == 1
        await send({"type": "http.response.start", "status": status})
        await send({"type": "http.response.body"})

    metrics = Metrics()
    asyncio.run(RequestMetrics(application, metrics)(SCOPE, None, ignore))
    assert requests(metrics) == {str(status): 1}
    assert metrics.in_flight.collect()[0].samples[0].value == 0


def test_a_client_that_disconnects_is_a_499_and_no_fault():
    async def application(scope, receive, send) -> None:
        raise ClientDisconnectedError

    metrics = Metrics()
    asyncio.run(RequestMetrics(application, metrics)(SCOPE, None, ignore))
    assert requests(metrics) == {"499": 1}


def test_a_fault_is_a_500_and_goes_on_to_the_server():
    async def application(scope, receive, send) -> None:
        raise ZeroDivisionError

    metrics = Metrics()
    with pytest.raises(ZeroDivisionError):
        asyncio.run(RequestMetrics(application, metrics)(SCOPE, None, ignore))
    assert requests(metrics) == {"500": 1}
    assert metrics.in_flight.collect()[0].samples[0].value == 0


def test_what_is_no_request_is_not_counted():
    async def application(scope, receive, send) -> None:
        pass

    metrics = Metrics()
    asyncio.run(RequestMetrics(application, metrics)({"type": "lifespan"}, None, ignore))
    assert requests(metrics) == {}
