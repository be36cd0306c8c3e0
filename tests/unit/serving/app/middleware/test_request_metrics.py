"""Each request is counted once, however it ends."""

import asyncio

import pytest
from starlette.routing import Mount, Route

from serving.app.errors import ClientDisconnectedError
from serving.app.metrics import Metrics
from serving.app.middleware.request_metrics import RequestMetrics

SCOPE = {"type": "http", "path": "/predict"}


async def answer(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200})


ROUTES = [Route("/predict", answer), Route("/", answer), Mount("/page", answer)]


def requests(metrics: Metrics) -> dict[str, float]:
    """The number of requests to /predict by their status."""
    samples = [sample for metric in metrics.requests.collect() for sample in metric.samples]
    return {sample.labels["status"]: sample.value for sample in samples if sample.name.endswith("_total")}


@pytest.mark.parametrize(
    ("path", "route"),
    [("/predict", "/predict"), ("/", "/"), ("/page/style.css", "/page"), ("/page", "/page"), ("/page/", "/page"),
     ("/made-up", "other"), ("/pages", "other"), ("/predict/x", "other")],
)  # fmt: skip
def test_a_request_is_counted_by_a_route_that_exists(path, route):
    metrics = Metrics()
    asyncio.run(RequestMetrics(answer, metrics, ROUTES)({"type": "http", "path": path}, None, ignore))
    text = metrics.render({"name": "digits", "version": "3"}).decode()
    assert f'digits_requests_total{{route="{route}",status="200"}} 1.0' in text
    assert text.count("digits_requests_total{") == 1


async def ignore(message: dict) -> None:
    pass


@pytest.mark.parametrize("status", [200, 413])
def test_the_status_is_that_of_the_answer(status):
    async def application(scope, receive, send) -> None:
        assert metrics.in_flight.collect()[0].samples[0].value == 1
        await send({"type": "http.response.start", "status": status})
        await send({"type": "http.response.body"})

    metrics = Metrics()
    asyncio.run(RequestMetrics(application, metrics, ROUTES)(SCOPE, None, ignore))
    assert requests(metrics) == {str(status): 1}
    assert metrics.in_flight.collect()[0].samples[0].value == 0


def test_a_client_that_disconnects_is_a_499_and_no_fault():
    async def application(scope, receive, send) -> None:
        raise ClientDisconnectedError

    metrics = Metrics()
    asyncio.run(RequestMetrics(application, metrics, ROUTES)(SCOPE, None, ignore))
    assert requests(metrics) == {"499": 1}


def test_a_fault_is_a_500_and_goes_on_to_the_server():
    async def application(scope, receive, send) -> None:
        raise ZeroDivisionError

    metrics = Metrics()
    with pytest.raises(ZeroDivisionError):
        asyncio.run(RequestMetrics(application, metrics, ROUTES)(SCOPE, None, ignore))
    assert requests(metrics) == {"500": 1}
    assert metrics.in_flight.collect()[0].samples[0].value == 0


def test_what_is_no_request_is_not_counted():
    async def application(scope, receive, send) -> None:
        pass

    metrics = Metrics()
    asyncio.run(RequestMetrics(application, metrics, ROUTES)({"type": "lifespan"}, None, ignore))
    assert requests(metrics) == {}
