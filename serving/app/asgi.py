"""The ASGI application: the routes on one model, and the middleware around them."""

import logging
from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from serving.app.inside import Inside
from serving.app.limits import Limits, Sampling
from serving.app.metrics import Metrics
from serving.app.middleware.bounded_body import BoundedBody
from serving.app.middleware.refusals import Refusals
from serving.app.middleware.request_metrics import RequestMetrics
from serving.app.middleware.security_headers import SecurityHeaders
from serving.app.middleware.trusted_clients import TrustedClients
from serving.app.routes import EXCEPTION_HANDLERS, Routes
from serving.app.samples import Sampler
from serving.model_source import ModelSource

log = logging.getLogger("uvicorn.error")


def build_app(
    source: ModelSource, limits: Limits, allowed_hosts: Set[str], sampling: Sampling | None = None
) -> ASGIApp:
    """Return the application; `allowed_hosts` are the names by which it may be called ("*": any)."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        source.start_following()
        log.info("%s is version %s, %s", source.uri, *map(source.loaded.facts.get, ("version", "preset")))
        yield

    metrics = Metrics()
    routes = build_routes(source, metrics, limits, sampling)
    app: ASGIApp = Starlette(routes=routes, lifespan=lifespan, exception_handlers=EXCEPTION_HANDLERS)
    # From the inside out: the last wrapper sees a request first. Starlette's own list of middleware isn't used, because
    # it runs inside the handler of uncaught exceptions, whose answer needs the headers and has to be counted, too.
    app = BoundedBody(app, limits)
    app = TrustedClients(app, allowed_hosts)
    app = Refusals(app)
    app = SecurityHeaders(app)
    return RequestMetrics(app, metrics, routes)


def build_routes(
    source: ModelSource, metrics: Metrics, limits: Limits, sampling: Sampling | None = None
) -> list[BaseRoute]:
    """Return all routes on one model."""
    sampler = Sampler(sampling, metrics.samples) if sampling else None
    routes = Routes(source, metrics, limits, sampler)
    return [*routes.table(), *Inside(routes, limits.queue).table()]
