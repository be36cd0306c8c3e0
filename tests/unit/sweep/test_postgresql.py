"""The error messages; tests/engines tries the database itself."""

from contextlib import contextmanager

import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import OperationalError

from pipeline.cli import UserError
from pipeline.sweep import postgresql

ADDRESS = "postgresql://searcher:secret@database.example:5433/sweeps?sslmode=require&password=secret"


@pytest.mark.parametrize("moment", ["at the start", "later"])
@pytest.mark.parametrize("by_optuna", [True, False])
def test_a_database_that_fails_is_named_without_its_password(monkeypatch, moment, by_optuna):
    def fail(*arguments):
        error = OperationalError("SELECT", {}, OSError("connection refused\nsecret"))
        if by_optuna:
            raise StorageInternalError("An exception is raised during the commit.") from error
        raise error

    monkeypatch.setattr(postgresql, "make_engine", lambda *arguments, **options: None)
    monkeypatch.setattr(postgresql, "open_tables", fail if moment == "at the start" else lambda url, turn: None)

    @contextmanager
    def used():
        with postgresql.open_storage(ADDRESS) as storage:
            fail()
            yield storage

    with pytest.raises(UserError) as failed, used():
        pass
    message = str(failed.value)
    assert message.startswith(
        "the sweep's storage postgresql://database.example:5433/sweeps?sslmode=require&password=… can't be"
    )
    assert "connection refused. No finished trial is lost" in message
    assert "secret" not in message
