"""The project's own server: `python -m serving.app [MODEL]`; --help lists the options.

MODEL is models:/mnist@champion (followed when the alias moves), models:/mnist/3, or a model's folder.
"""

import argparse
import ctypes
import gc
import ipaddress
import os
import socket
import sys
from contextlib import suppress
from dataclasses import fields

LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}
M_ARENA_MAX = -8  # of malloc.h
CONNECTIONS = 512  # at one time; each takes some memory, even if it says nothing
GRACE = 30  # seconds that requests in flight have to end after SIGTERM
# For all of MLflow: ask a registry that is down for seconds, not for minutes; report nothing to its makers; show no
# progress bars; and run no pickle.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
}


def main() -> None:
    from serving.app.guard import Limits

    options = arguments(Limits)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # 35 MB, which pandas would take for Parquet and such; no request here needs them.
    sys.modules.setdefault("pyarrow", None)
    # Else glibc keeps memory for each thread apart, 40 MB more after large requests. Other C libraries have no mallopt.
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)
    listener = bind(options.host, options.port)
    if options.host not in ("localhost", "::1") and not options.host.startswith("127."):
        print(
            f"warning: listening on {options.host}: whoever reaches this machine may use the server, which knows no "
            "passwords; put a proxy with TLS and authentication before it",
            file=sys.stderr,
        )
    gc.disable()  # until all is loaded: to look for garbage among MLflow's modules would take a fifth of the start
    serve(options, Limits(**{field.name: getattr(options, field.name) for field in fields(Limits)}), listener)


def arguments(limits: type) -> argparse.Namespace:
    """The command line; each field of `limits` is an option."""
    parser = argparse.ArgumentParser("python -m serving.app", description=__doc__.partition("\n\n")[2])
    parser.add_argument("model", nargs="?", default="models:/mnist@champion", metavar="MODEL")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="(%(default)s)")
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME",
        help="a name by which the server may be called, beside the loopback's; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--poll-seconds", type=float, default=2.0, help="between two looks at the registry's alias (%(default)s)"
    )
    for field in fields(limits):
        flag = f"--{field.name.replace('_', '-')}"
        told = f"{field.metadata['help']} (%(default)s)"
        parser.add_argument(flag, type=field.type, default=field.default, metavar="N", help=told)
    options = parser.parse_args()
    for name, value in vars(options).items():
        if isinstance(value, (int, float)) and not value > 0 and not (name in ("queue", "port") and value == 0):
            parser.error(f"--{name.replace('_', '-')} {value}: a positive number is expected")
    return options


def bind(host: str, port: int) -> socket.socket:
    """A socket that has the port but does not listen: nobody connects before the model is there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With the protocol named, asyncio sets TCP_NODELAY; without, each answer would take 40 ms.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        return listener
    except (OSError, OverflowError) as error:
        sys.exit(f"error: can't listen on {host}:{port}: {error}; name another with --port (make app PORT=…) or --host")


def serve(options: argparse.Namespace, limits, listener: socket.socket) -> None:
    """Load the model and serve it until SIGTERM or SIGINT."""
    import uvicorn

    from serving.app.routes import build
    from serving.loading import Unusable
    from serving.model_source import Champion

    try:
        champion = Champion(options.model, options.poll_seconds)
    except Unusable as error:
        sys.exit(f"error: {error}")
    hosts = LOOPBACK | {name(options.host)} | {host.lower() for host in options.allow_host}
    app = build(champion, limits, hosts)
    # What is loaded now stays: without it in each collection, none takes long enough to be felt.
    gc.freeze()
    gc.enable()
    config = uvicorn.Config(
        app, http="h11", ws="none", loop="asyncio", access_log=False, server_header=False, log_level="info",
        timeout_graceful_shutdown=GRACE, limit_concurrency=CONNECTIONS,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])


def name(host: str) -> str:
    """An address as a Host header has it: IPv6 in brackets."""
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        return host.lower()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
