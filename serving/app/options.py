"""The app's command line."""

import argparse
import ipaddress
import re
from dataclasses import dataclass, fields
from pathlib import Path

from serving.app.limits import Limits, Sampling
from serving.environment import default_model

DESCRIPTION = "MODEL is models:/mnist@champion (followed when the alias moves), models:/mnist/3, or a model's folder."
NAME = r"\*|\[[0-9a-f:.]+\]|[^:\[\]/@\s]+"
MAX_SAMPLE_DAYS = 36_500
MAY_BE_ZERO = ("queue", "port")


@dataclass(frozen=True)
class Options:
    """The options of the command line."""

    model: str
    host: str
    port: int
    allow_host: list[str]
    poll_seconds: float
    limits: Limits
    sampling: Sampling | None = None
    """None: no image is kept."""


def parse_options(arguments: list[str] | None = None) -> Options:
    """Return the options in `arguments` (sys.argv); exit with 2 and a message if one is wrong."""
    parser = argparse.ArgumentParser("python -m serving.app", description=DESCRIPTION)
    parser.add_argument("model", nargs="?", default=default_model(), metavar="MODEL", help="(%(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="(%(default)s)")
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME",
        help="a host name to accept, on any port, in addition to the loopback's; may be repeated; "
        "'*' accepts any, for a server behind a proxy that checks it",
    )  # fmt: skip
    parser.add_argument(
        "--poll-seconds",
        type=float,
        default=2.0,
        help="seconds between two looks at the registry's alias (%(default)s)",
    )
    parser.add_argument(
        "--sample-folder", type=Path, metavar="FOLDER",
        help="keep some of the answered images here, by day and class, to be labelled by people (none)",
    )  # fmt: skip
    parser.add_argument(
        "--sample-share",
        type=float,
        default=0.01,
        metavar="SHARE",
        help="share of the answered images to keep (%(default)s)",
    )
    parser.add_argument(
        "--sample-days", type=float, default=30.0, metavar="DAYS", help="days to keep them (%(default)s)"
    )
    limits = {field.name: field for field in fields(Limits)}
    for name, field in limits.items():
        description = f"{field.metadata['help']} (%(default)s)"
        parser.add_argument(flag(name), type=field.type, default=field.default, metavar="N", help=description)
    values = vars(parser.parse_args(arguments))
    for name, value in values.items():
        if isinstance(value, (int, float)) and not value > 0 and not (name in MAY_BE_ZERO and value == 0):
            parser.error(f"{flag(name)} {value}: a positive number is expected")
    if values["sample_share"] > 1:
        parser.error(f"--sample-share {values['sample_share']}: a share, up to 1, is expected")
    if values["sample_days"] > MAX_SAMPLE_DAYS:
        parser.error(f"--sample-days {values['sample_days']}: at most {MAX_SAMPLE_DAYS} days are expected")
    for name in values["allow_host"]:
        if not re.fullmatch(NAME, host_header(name)):
            parser.error(f"--allow-host {name}: a name or an address without scheme and port is expected, or '*'")
    folder, share, days = (values.pop(f"sample_{name}") for name in ("folder", "share", "days"))
    return Options(
        limits=Limits(**{name: values.pop(name) for name in limits}),
        sampling=Sampling(folder, share, days) if folder else None,
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
