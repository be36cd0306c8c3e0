"""PostgreSQL addresses that a person sets in the environment: read and use them without showing a password."""

import re
from typing import TYPE_CHECKING, Any

from pipeline.cli import UserError, first_line
from pipeline.tracking.location import require_address

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

DRIVER = "postgresql+psycopg"  # which `make team` installs; used whatever driver an address names
ADDRESS = re.compile(r"postgres(ql)?(\+\w+)?://")


def is_address(text: str) -> bool:
    """Return whether a text begins like a PostgreSQL address."""
    return bool(ADDRESS.match(text))


def parse_address(setting: str, address: str) -> "URL":
    """Return the address in a setting; raise UserError, without showing it, if it isn't a PostgreSQL address."""
    require_address(address)
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
    except (ArgumentError, ValueError):  # ValueError if a port isn't a number
        url = None
    if url is None or not is_address(address):
        raise UserError(
            f"{setting} is no address of a PostgreSQL database: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE "
            "with %40 for @, %3A for : and %2F for / in the password"
        )
    return url.set(drivername=DRIVER)


def make_engine(setting: str, url: "URL", **options: Any) -> "Engine":
    """Return an engine that keeps no connection; raise UserError if the driver isn't installed."""
    from sqlalchemy import NullPool, create_engine

    try:
        return create_engine(url, poolclass=NullPool, **options)
    except ImportError as error:
        raise UserError(f"{setting} needs the package psycopg ({first_line(error)}): run `make team`") from None
