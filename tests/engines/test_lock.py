"""The registry's lock in a real PostgreSQL."""

import re

import pytest

from pipeline.cli import UserError
from pipeline.tracking import lock
from pipeline.tracking.lock import KEY, lock_registry
from tests.helpers.team import PASSWORD, USER, ask
from tests.helpers.waiting import eventually

HOLDERS = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
END_HOLDERS = HOLDERS.replace("SELECT pid", "SELECT pg_terminate_backend(pid)")


@pytest.fixture
def database(mlflow_team, monkeypatch) -> str:
    for name, value in mlflow_team.variables.items():
        monkeypatch.setenv(name, value)
    return mlflow_team.database


def is_free(database: str) -> bool:
    return bool(ask(database, f"SELECT pg_try_advisory_lock({KEY})")[0])


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"])
def test_one_holds_it_at_a_time_however_the_address_is_spelt(database, monkeypatch, scheme):
    monkeypatch.setenv("REGISTRY_LOCK", database.replace("postgresql", scheme, 1))
    with lock_registry() as require_lock:
        require_lock()
        assert not is_free(database)
    eventually(lambda: is_free(database))  # a session ends a moment after its connection


def test_the_next_one_waits_and_says_so(database, monkeypatch, capsys):
    with lock_registry():
        pass  # imports SQLAlchemy
    rival = lock.open_session(database)
    eventually(lambda: lock.ask(rival, database, lock.TAKE))  # the session before may end a moment later
    monkeypatch.setattr(lock.time, "sleep", lambda seconds: rival.close())
    with lock_registry():
        assert not is_free(database)
    assert "waiting for another command that changes the registry: postgresql://127.0.0.1" in capsys.readouterr().err


def lose_it(database: str) -> None:
    with lock_registry() as require_lock:
        ask(database, END_HOLDERS)
        require_lock()


def lose_it_at_the_end(database: str) -> None:
    with lock_registry():
        ask(database, END_HOLDERS)


@pytest.mark.parametrize("lose", [lose_it, lose_it_at_the_end])
def test_a_lock_that_the_database_has_taken_back_is_noticed(database, lose):
    with pytest.raises(UserError, match=r"lock in postgresql://127.0.0.1\S* can't be used: .*run the command again"):
        lose(database)
    eventually(lambda: is_free(database))  # a session ends a moment after its connection


def test_a_pool_that_gives_each_query_another_session_is_refused(database, monkeypatch):
    monkeypatch.setattr(lock, "TAKE", "SELECT 0 < :key")  # as if the next query had another session
    with pytest.raises(UserError, match=r"doesn't keep the registry's lock: .* not of a pool"), lock_registry():
        pass


def test_a_session_may_be_idle_for_long_and_a_machine_that_is_gone_is_given_up(database):
    setting = "SELECT setting FROM pg_settings WHERE name = '{}' AND :key > 0"
    with lock.open_session(database) as session:
        shown = {name: lock.ask(session, database, setting.format(name)) for name in lock.SERVER}
    assert shown == {name: str(value) for name, value in lock.SERVER.items()}
    assert shown["idle_session_timeout"] == "0"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (PASSWORD, "wrong-and-secret"),
        (PASSWORD, "wrong%2Fand%40secret"),
        (PASSWORD, "wrong/and@secret"),
        (USER, "nobody"),
        ("/postgres", "/missing"),
        ("127.0.0.1", "missing.invalid"),
        (r":\d+/", ":9/"),
        (r":\d+/", ":port/"),
    ],
)
def test_a_wrong_address_is_reported_at_once_without_its_password(database, monkeypatch, capfd, old, new):
    monkeypatch.setenv("REGISTRY_LOCK", re.sub(old, new, database))
    reported = r"^(the registry's lock in postgresql://\S+ can't|the address postgresql://\S+ has|REGISTRY_LOCK is no)"
    with pytest.raises(UserError, match=reported) as error:
        lock_registry().__enter__()
    said = "".join([str(error.value), *capfd.readouterr()])
    assert PASSWORD not in said
    assert "secret" not in said
