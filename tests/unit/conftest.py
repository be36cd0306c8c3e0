"""Fixtures of several packages' unit tests."""

import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from mlflow.store.db import utils
from sqlalchemy import event
from sqlalchemy.engine import Engine

from pipeline.tracking import promotion
from pipeline.tracking.store import Store, connect
from tests.helpers.candidates import candidate
from tests.helpers.registry import Registry


@pytest.fixture
def registry(tmp_path, monkeypatch) -> Registry:
    """A registry with a bad, an equally bad and a good version; the journal is in a folder of its own."""
    made = Registry(bad=candidate(range(50)), equal=candidate(range(50, 100)), good=candidate(range(5)))
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # which other tests of the process may have set
    monkeypatch.setattr(promotion, "load_candidate", lambda version, policy: made.candidates[version.tags["model"]])
    return made


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """MLflow's database without a run: to make its tables takes seconds, to copy the file none."""
    # No test loses its power supply, and a disk that is asked to wait for each write takes twice as long.
    event.listen(Engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    folder = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder))
        patch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets it
        connect("Default")
    with pytest.MonkeyPatch.context() as patch:
        # For each store that it opens, MLflow reads all of its migrations to find the last one.
        patch.setattr(utils, "_get_latest_schema_revision", cache(utils._get_latest_schema_revision))
        yield folder / "mlflow.db"


@pytest.fixture
def root(tmp_path, monkeypatch, empty_database) -> Path:
    """A project's root with an empty store."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets it
    shutil.copy(empty_database, tmp_path)
    return tmp_path


@pytest.fixture
def store(root) -> Store:
    """The store of the data set digits at `root`."""
    return connect("digits")
