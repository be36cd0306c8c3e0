import multiprocessing
import os

import pytest

from pipeline.cli import UserError
from pipeline.tracking.lock import lock_registry


@pytest.fixture(autouse=True)
def _without_a_setting(monkeypatch) -> None:
    monkeypatch.delenv("REGISTRY_LOCK", raising=False)


def can_lock(environment: dict[str, str]) -> bool:
    """Say, from a separate process, whether the lock is free."""
    os.environ |= environment
    from filelock import FileLock, Timeout

    original = FileLock.acquire
    FileLock.acquire = lambda self, *arguments, **named: original(self, timeout=0)
    try:
        with lock_registry():
            return True
    except Timeout:
        return False


def is_free_elsewhere(**environment: str) -> bool:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(can_lock, (environment,))


def test_a_file_is_locked_for_all_checkouts_whatever_the_setting(root, monkeypatch, tmp_path):
    shared = {"MLFLOW_TRACKING_URI": f"sqlite:///{root}/mlflow.db"}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shared["MLFLOW_TRACKING_URI"])
    with lock_registry() as require_lock:
        require_lock()
        assert (root / "mlflow.db.register.lock").exists()
        other = shared | {"DVC_ROOT": str(tmp_path / "other"), "REGISTRY_LOCK": str(tmp_path / "lock")}
        assert not is_free_elsewhere(**other)
    assert is_free_elsewhere(**other)


@pytest.mark.parametrize("uri", ["http://me:secret@host:5000", "databricks"])
@pytest.mark.parametrize("setting", ["", "relative/path", "mysql://me:secret@host/x"])
def test_a_store_without_a_lock_is_refused_with_what_to_set(root, monkeypatch, uri, setting):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("REGISTRY_LOCK", setting)
    with pytest.raises(UserError, match=r"has no lock, .*: set REGISTRY_LOCK to a PostgreSQL database") as error:
        lock_registry().__enter__()
    assert "secret" not in str(error.value)


def test_a_server_may_have_a_lock_file(root, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    monkeypatch.setenv("REGISTRY_LOCK", str(tmp_path / "the.lock"))
    with lock_registry() as require_lock:
        require_lock()
        assert (tmp_path / "the.lock").exists()


@pytest.mark.parametrize("address", ["postgresql://me:secret@127.0.0.1:9/x", "postgres://me:secret@127.0.0.1:9/x"])
def test_a_lock_in_postgresql_without_its_driver_or_its_server_is_reported(root, monkeypatch, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    monkeypatch.setenv("REGISTRY_LOCK", address)
    with pytest.raises(
        UserError, match=r"needs the package psycopg .*: run `make team`|127.0.0.1:9/x can't be used"
    ) as error:
        lock_registry().__enter__()
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_URI", "REGISTRY_LOCK"])
def test_an_address_of_postgresql_is_checked_before_it_is_used(root, monkeypatch, variable):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    monkeypatch.setenv(variable, "postgresql://me:se@cret@host/x")
    with pytest.raises(UserError, match="write @ as %40"):
        lock_registry().__enter__()
