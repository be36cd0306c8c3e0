"""Fixtures for the unit tests of several packages."""

import shutil
from pathlib import Path

import pytest

from pipeline.tracking import promotion
from pipeline.tracking.store import Store, connect
from tests.helpers.candidates import candidate
from tests.helpers.registry import Registry


@pytest.fixture
def registry(tmp_path, monkeypatch) -> Registry:
    """A registry with a bad, an equally bad and a good version; the journal is in a separate folder."""
    made = Registry(bad=candidate(range(50)), equal=candidate(range(50, 100)), good=candidate(range(5)))
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # which other tests of the process may have set
    monkeypatch.setattr(promotion, "load_candidate", lambda version, policy: made.candidates[version.tags["model"]])
    return made


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
