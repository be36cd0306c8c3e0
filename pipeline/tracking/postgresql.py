"""Addresses of PostgreSQL that a person sets in the environment: read and used without showing a password."""

import re
from typing import TYPE_CHECKING, Any

from pipeline.cli import UserError, first_line
from pipeline.tracking.location import require_address

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

DRIVER = "postgresql+psycopg"  # of `make team`, whatever driver an address names
ADDRESS = re.compile(r"postgres(ql)?(\+\w+)?://")


def is_address(text: str) -> bool:
    """Return whether a text begins as an address of PostgreSQL does."""
    return bool(ADDRESS.match(text))


def parse_address(setting: str, address: str) -> "URL":
    """Return the address that a setting has; raise UserError, which doesn't show it, if it is none of PostgreSQL."""
    require_address(address)
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
    except (ArgumentError, ValueError):  # the latter where a port is no number
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
