"""Addresses and messages; the database itself is tried in tests/engines."""

from contextlib import contextmanager

import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import OperationalError

from pipeline.cli import UserError
from pipeline.sweep import postgresql

ADDRESS = "postgresql://searcher:secret@database.example:5433/sweeps?sslmode=require&password=secret"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_an_address_leaves_the_driver_to_the_project(scheme):
    url = postgresql.parse_address(f"{scheme}://searcher:a%40b@host/sweeps")
    assert (url.drivername, url.password, url.host) == ("postgresql+psycopg", "a@b", "host")


@pytest.mark.parametrize(
    "address",
    [
        "sqlite:///secret.db",
        "secret",
        "postgresql+psycopg2://searcher:secret@host/sweeps",
        "postgresql://searcher:secret@host:port/sweeps",
        "postgresql://searcher:other@secret@host/sweeps",
    ],
)
def test_another_address_is_refused_and_not_shown(address):
    with pytest.raises(UserError, match="is no address of a PostgreSQL database") as refused:
        postgresql.parse_address(address)
    assert "secret" not in str(refused.value)


def test_a_missing_driver_is_named_with_what_installs_it(monkeypatch):
    def fail(*arguments, **options):
        raise ModuleNotFoundError("No module named 'psycopg'")

    monkeypatch.setattr(postgresql, "create_engine", fail)
    with (
        pytest.raises(UserError, match=r"psycopg'\): run `uv .* -r requirements-team.lock`"),
        postgresql.open_storage(ADDRESS),
    ):
        pass


@pytest.mark.parametrize("moment", ["at the start", "later"])
@pytest.mark.parametrize("by_optuna", [True, False])
def test_a_database_that_fails_is_named_without_its_password(monkeypatch, moment, by_optuna):
    def fail(*arguments):
        error = OperationalError("SELECT", {}, OSError("connection refused\nsecret"))
        if by_optuna:
            raise StorageInternalError("An exception is raised during the commit.") from error
        raise error

    monkeypatch.setattr(postgresql, "create_engine", lambda *arguments, **options: None)
    monkeypatch.setattr(postgresql, "open_tables", fail if moment == "at the start" else lambda url, turn: None)

    @contextmanager
    def used():
        with postgresql.open_storage(ADDRESS) as storage:
            fail()
            yield storage

    with pytest.raises(UserError) as failed, used():
        pass
    message = str(failed.value)
    assert message.startswith("the sweep's storage postgresql+psycopg://database.example:5433/sweeps can't be used: ")
    assert "connection refused. No finished trial is lost" in message
    assert "secret" not in message
