"""Refuses requests that a foreign web page could make a visitor's browser send here."""

import re
from collections.abc import Set

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

# Kubernetes' probes and Prometheus send the pod's address as Host. These routes tell nothing that a foreign page could
# use.
PROBES = ("/healthz", "/readyz", "/metrics")
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]/@\s]+)(?::\d{1,5})?", re.IGNORECASE)


class TrustedClients:
    """Let through requests to one of `allowed_hosts` ("*": any) that don't come from a page of another origin.

    The check of the host defends against DNS rebinding, that of the origin against cross-site request forgery (CSRF).
    PROBES are answered for any host.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Set[str]):
        self.app, self.allowed_hosts = app, allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host = headers.get("host", "").lower()
            only_reads = scope["method"] in ("GET", "HEAD")
            if not (only_reads and scope["path"] in PROBES):
                self.check_host(host)
            if not only_reads:
                check_origin(headers, host)
        await self.app(scope, receive, send)

    def check_host(self, host: str) -> None:
        """Raise a 400 unless the Host header has one of the allowed names."""
        match = HOST.fullmatch(host)
        if "*" not in self.allowed_hosts and not (match and match[1] in self.allowed_hosts):
            raise HTTPException(
                400, "this server doesn't accept this host name; --allow-host NAME makes it accept one more"
            )


def check_origin(headers: Headers, host: str) -> None:
    """Raise a 403 if the request comes from a page of another origin than `host`."""
    # Only browsers send these two: a client that sends neither isn't a browser, so CSRF doesn't apply.
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    if site not in ("same-origin", "none") or (origin is not None and origin.lower().partition("://")[2] != host):
        raise HTTPException(
            403, "a page of another origin may not use this server; a proxy has to pass the Host header on"
        )
