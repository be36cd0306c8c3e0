"""Fixtures that all tests share: the pipeline, trained once on each data set, its app, and an empty store.

They import MLflow only where they use it: the process that starts the workers also reads this file, but runs no test.
"""

import gc
import os
import signal
import sqlite3
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.helpers.project import QUICK_PRESETS, Project, fork, shrink, train_once
from tests.helpers.server import Server, running

# As in params.yaml, for the trainings in this process: TensorFlow reads the variable once, at its first use.
os.environ["TF_NUM_INTRAOP_THREADS"] = "2"

# As the stages do: the many objects of TensorFlow and MLflow stay alive, so collecting garbage often is useless.
gc.set_threshold(50_000)

# `&` in a shell and `nohup` make a process ignore Ctrl-C, and also the processes that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The presets that train in seconds, on real MNIST; skips the test if no mirror answers."""
    from pipeline.cli import UserError
    from pipeline.commands.offline import probe_mirrors
    from pipeline.config.catalogue import CATALOGUE

    try:
        probe_mirrors("mnist", CATALOGUE["mnist"])
    except UserError as error:
        pytest.skip(f"no mirror of MNIST answers; point DATASET_MIRROR at one: {error}")

    return train_once(tmp_path_factory, "mnist", lambda content: content.update(presets=list(QUICK_PRESETS)))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The shrunken pipeline, run once from the start up to registered models; tests fork it."""
    return train_once(tmp_path_factory, "digits", shrink)


@pytest.fixture(scope="module")
def project(trained: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the trained pipeline that the tests of one module may run, change and break."""
    return fork(trained, tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def app(project: Project) -> Iterator[Server]:
    """The project's own server on the shrunken pipeline's champion."""
    with running(project) as server:
        yield server


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """MLflow's database without runs: creating its tables takes seconds, copying the file doesn't."""
    from mlflow.store.db import utils
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    from pipeline.tracking.store import connect

    # No test has a power failure, and waiting until the disk has stored each write takes twice as long.
    def keep_from_waiting(connection: object, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", keep_from_waiting)
    folder = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder))
        patch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets it
        connect("Default")
    with pytest.MonkeyPatch.context() as patch:
        # Each time MLflow opens a store, it reads all of its migrations to find the last one.
        patch.setattr(utils, "_get_latest_schema_revision", cache(utils._get_latest_schema_revision))
        yield folder / "mlflow.db"


def pytest_collection_finish() -> None:
    """Exclude the modules that the tests import from garbage collection, which makes it many times faster."""
    gc.freeze()
