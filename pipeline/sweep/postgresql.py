"""The storage of a shared search in PostgreSQL, at the address in the environment variable SWEEP_STORAGE."""

from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy import URL, Engine, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from pipeline.cli import UserError, first_line
from pipeline.sweep.shared import GRACE_S, HEARTBEAT_S, LONGEST_WAIT_S, SharedStorage, Turn, without_warnings
from pipeline.tracking.postgresql import make_engine, parse_address
from serving.environment import without_password

SETTING = "SWEEP_STORAGE"
# Optuna stores heartbeats without a time zone, so all sessions need the same zone, one without summer time.
CONNECTION = {"connect_timeout": 10, "options": "-c timezone=UTC"}
LONGEST_TURN_S = 300  # after which PostgreSQL ends the turn of a machine that has vanished during it
TAKE = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
LOCK_NOT_AVAILABLE = "55P03"  # https://www.postgresql.org/docs/current/errcodes-appendix.html


@contextmanager
def open_storage(address: str) -> Iterator[SharedStorage]:
    """Yield the storage at an address; raise UserError if it can't be used, now or later in the block."""
    url = parse_address(SETTING, address)
    engine = make_engine(SETTING, url, connect_args=CONNECTION)
    try:
        turn = make_turn(engine)
        yield SharedStorage(open_tables(url, turn), turn)
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = first_line(error.__cause__ or error)
        raise UserError(
            f"the sweep's storage {without_password(address)} can't be used: {cause}. No finished trial is lost: "
            f"correct {SETTING} or start the database, and run `make sweep` again"
        ) from None


def make_turn(engine: Engine) -> Turn:
    """Return a `Turn` that uses PostgreSQL's advisory locks, each on a connection of its own.

    Such a lock ends with its transaction for whatever reason, so a killed process gives its turn back at once.
    """

    @contextmanager
    def turn(name: str, wait: float) -> Iterator[bool]:
        with engine.connect() as connection:
            connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{LONGEST_TURN_S}s'"))
            connection.execute(text(f"SET LOCAL lock_timeout = {max(1, round(wait * 1000))}"))  # 0 would be no limit
            try:
                connection.execute(TAKE, {"name": f"sweep {name}"})
            except OperationalError as error:
                if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                    raise
                connection.rollback()
                yield False
            else:
                yield True
                connection.commit()  # fails if PostgreSQL has taken the turn away meanwhile

    return turn


def open_tables(url: URL, turn: Turn) -> optuna.storages.RDBStorage:
    """Return Optuna's storage in the database; make missing tables. Raise UserError for tables of another version."""
    with turn("tables", LONGEST_WAIT_S), without_warnings():
        try:
            return optuna.storages.RDBStorage(
                url.render_as_string(hide_password=False),
                # One connection that stays open for each process: a server allows a hundred or so.
                {"connect_args": CONNECTION, "pool_size": 1, "pool_pre_ping": True},
                heartbeat_interval=HEARTBEAT_S,
                grace_period=GRACE_S,
            )
        except RuntimeError as error:
            raise UserError(
                f"the sweep's storage has tables of another version of Optuna ({first_line(error)}): "
                f"set {SETTING} to another database"
            ) from None
