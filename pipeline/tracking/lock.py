"""The lock on MLflow's registry: commands that register, promote, roll back or rebuild take turns, on all machines.

A store that is a file has a lock file beside it. MLflow's server has no lock, so REGISTRY_LOCK names one: the advisory
lock of a PostgreSQL database, which is free as soon as the session that holds it ends for any reason; or a file.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING

from filelock import FileLock

from pipeline.cli import UserError, first_line
from pipeline.tracking.location import lock_store, require_no_database, store_file, store_uri
from pipeline.tracking.postgresql import is_address, make_engine, parse_address
from serving.environment import without_password

if TYPE_CHECKING:
    from sqlalchemy import Connection

SETTING = "REGISTRY_LOCK"
KEY = 7_305_804_385_334_259  # of the advisory lock, one for each database; any number that nothing else there uses
RETRY_S = 0.2
# Client and server give up a connection that the network has lost after 5 + 5 · 2 seconds; that of a killed process
# ends at once. A session that only holds a lock is idle, so idle sessions must not time out.
CLIENT = {"connect_timeout": 10, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 5}
SERVER = {"tcp_keepalives_idle": 5, "tcp_keepalives_interval": 2, "tcp_keepalives_count": 5, "tcp_user_timeout": 15_000,
          "idle_session_timeout": 0}  # fmt: skip
WAITING = "waiting for another command that changes the registry: {}"
TAKE = "SELECT pg_try_advisory_lock(:key)"
HELD = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() "
    "AND (CAST(classid AS bigint) << 32) + CAST(objid AS bigint) = :key"
)


@contextmanager
def lock_registry() -> Iterator[Callable[[], None]]:
    """Hold the lock while registering, promoting or rolling back; read the registry's state again inside the block.

    Yield a function to call before each write: it raises UserError if the lock was lost. The end of the block does so,
    too. Raise UserError if there is no lock to take.
    """
    require_no_database()
    address = os.environ.get(SETTING, "")
    if store_file():
        with lock_store("register."):
            yield lambda: None
    elif is_address(address):
        with open_session(address) as session:
            wait_for_lock(session, address)
            require_lock = partial(require_held, session, address)
            yield require_lock
            require_lock()
    elif Path(address).is_absolute():
        with FileLock(address):
            yield lambda: None
    else:
        raise UserError(
            f"MLflow's store {without_password(store_uri())} has no lock, and two commands that change its registry "
            f"at once would spoil each other's work: set {SETTING} to a PostgreSQL database that all of them reach, "
            "such as the server's own, postgresql://USER:PASSWORD@HOST/DATABASE; or, if all work on one machine, "
            "to the absolute path of a file there"
        )


def open_session(address: str) -> "Connection":
    """Return a session of a PostgreSQL database; raise UserError if there is none."""
    from sqlalchemy.exc import SQLAlchemyError

    options = " ".join(f"-c {name}={value}" for name, value in SERVER.items())
    named = {"options": options, "application_name": f"registry of {gethostname()}, process {os.getpid()}"}
    engine = make_engine(
        SETTING, parse_address(SETTING, address), isolation_level="AUTOCOMMIT", connect_args=named | CLIENT
    )
    try:
        return engine.connect()
    except SQLAlchemyError as error:
        raise lock_error(address, error) from None


def wait_for_lock(session: "Connection", address: str) -> None:
    """Wait until this session has the lock; print a message if another session has it."""
    is_announced = False
    while not ask(session, address, TAKE):
        if not is_announced:
            print(WAITING.format(without_password(address)), file=sys.stderr)
        is_announced = True
        time.sleep(RETRY_S)


def require_held(session: "Connection", address: str) -> None:
    """Raise UserError if the session has ended and lost the lock, or if a pool gives each query another session."""
    if not ask(session, address, HELD):
        raise UserError(
            f"{without_password(address)} doesn't keep the registry's lock: give {SETTING} the address of PostgreSQL "
            "itself, not of a pool that gives each transaction another session"
        )


def ask(session: "Connection", address: str, query: str) -> object:
    """Return the single value of a query on the lock; raise UserError if the database doesn't answer."""
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return session.execute(text(query), {"key": KEY}).scalar_one()
    except SQLAlchemyError as error:
        raise lock_error(address, error) from None


def lock_error(address: str, error: Exception) -> UserError:
    """Return the error for a database that doesn't give the lock, or has lost it."""
    cause = without_password(first_line(error))
    return UserError(
        f"the registry's lock in {without_password(address)} can't be used: {cause}. Correct {SETTING} or start the "
        "database, and run the command again: it completes what this one began"
    )
