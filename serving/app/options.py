"""The app's command line."""

import argparse
import ipaddress
import re
from dataclasses import dataclass, fields

from serving.app.limits import Limits
from serving.environment import default_model

DESCRIPTION = "MODEL is models:/mnist@champion (followed when the alias moves), models:/mnist/3, or a model's folder."
NAME = r"\*|\[[0-9a-f:.]+\]|[^:\[\]/@\s]+"
MAY_BE_ZERO = ("queue", "port")


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    model: str
    host: str
    port: int
    allow_host: list[str]
    poll_seconds: float
    limits: Limits


def parse_options(arguments: list[str] | None = None) -> Options:
    """Return the options in `arguments` (sys.argv); exit with 2 and a message if one is wrong."""
    parser = argparse.ArgumentParser("python -m serving.app", description=DESCRIPTION)
    parser.add_argument("model", nargs="?", default=default_model(), metavar="MODEL", help="(%(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="(%(default)s)")
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME",
        help="a name by which the server may be called, on any port, beside the loopback's; may be repeated; "
        "'*' allows any, where a proxy has checked it",
    )  # fmt: skip
    parser.add_argument(
        "--poll-seconds", type=float, default=2.0, help="between two looks at the registry's alias (%(default)s)"
    )
    limits = {field.name: field for field in fields(Limits)}
    for name, field in limits.items():
        description = f"{field.metadata['help']} (%(default)s)"
        parser.add_argument(flag(name), type=field.type, default=field.default, metavar="N", help=description)
    values = vars(parser.parse_args(arguments))
    for name, value in values.items():
        if isinstance(value, (int, float)) and not value > 0 and not (name in MAY_BE_ZERO and value == 0):
            parser.error(f"{flag(name)} {value}: a positive number is expected")
    for name in values["allow_host"]:
        if not re.fullmatch(NAME, host_header(name)):
            parser.error(f"--allow-host {name}: a name or an address without scheme and port is expected, or '*'")
    return Options(
        limits=Limits(**{name: values.pop(name) for name in limits}),
        **values,
    )


def host_header(host: str) -> str:
    """Return an address as a Host header has it: IPv6 in brackets."""
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        return host.lower()


def flag(name: str) -> str:
    """Return the option that sets a field."""
    return f"--{name.replace('_', '-')}"
