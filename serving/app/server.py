"""Listens on a port and serves the app until a signal ends it."""

import socket
import sys
from pathlib import Path
from tempfile import TemporaryFile

from serving.app.options import Options, host_header
from serving.app.process import resume_garbage_collection

LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}
SHUTDOWN_TIMEOUT_S = 30  # for requests in flight to end after SIGTERM


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to the port but doesn't listen, so that nobody connects before the model is loaded.

    Exits with a message if the port isn't available.
    """
    try:
        if port > 65535:  # some systems would take it modulo 65536
            raise OverflowError("a port is a number up to 65535")
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # asyncio sets TCP_NODELAY only if the protocol is named; without it, each answer would take 40 ms.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        return listener
    except (OSError, OverflowError) as error:
        sys.exit(f"error: can't listen on {host}:{port}: {error}; name another with --port (make app PORT=…) or --host")


def warn_if_exposed(host: str) -> None:
    """Warn if other machines can reach this one by the host."""
    if host in ("localhost", "::1") or host.startswith("127."):
        return
    print(
        f"warning: listening on {host}: anyone who reaches this machine may use the server, which has no "
        "authentication; put a proxy with TLS and authentication in front of it",
        file=sys.stderr,
    )


def serve(options: Options, listener: socket.socket) -> None:
    """Load the model and serve it until SIGTERM or SIGINT; exit with a message if it can't be loaded."""
    import uvicorn

    from serving.app.asgi import build_app
    from serving.app.connections import BoundedProtocol
    from serving.loading import ModelLoadError
    from serving.model_source import ModelSource

    if options.sampling:
        make_folder(options.sampling.folder)
    try:
        source = ModelSource(options.model, options.poll_seconds)
    except ModelLoadError as error:
        sys.exit(f"error: {error}")
    print(f"The page: http://{host_header(options.host)}:{listener.getsockname()[1]}", flush=True)
    app = build_app(source, options.limits, allowed_hosts(options), options.sampling)
    resume_garbage_collection()
    config = uvicorn.Config(
        app, http=BoundedProtocol, ws="none", loop="asyncio", access_log=False, server_header=False, log_level="info",
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])


def make_folder(folder: Path) -> None:
    """Make a folder; exit with a message unless files can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        sys.exit(f"error: no samples can be kept in {folder}: {error}; name another folder with --sample-folder")


def allowed_hosts(options: Options) -> set[str]:
    """Return the names that a Host header may have, in lower case."""
    return LOOPBACK | {host_header(options.host)} | {host_header(host) for host in options.allow_host}
