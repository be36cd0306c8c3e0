"""Fixtures that all tests share: the pipeline, trained once on each data set, and the app on its champion."""

import gc
from collections.abc import Iterator

import pytest

from tests.helpers.project import Project, fork, shrink, train_once
from tests.helpers.server import Server, running


@pytest.fixture(scope="session")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A preset as published and one cut to an epoch, on real MNIST where a mirror answers; skips where none does."""
    from pipeline.cli import UserError
    from pipeline.commands.offline import probe_mirrors
    from pipeline.config.catalogue import CATALOGUE

    try:
        probe_mirrors("mnist", CATALOGUE["mnist"])
    except UserError as error:
        pytest.skip(f"no mirror of MNIST answers; point DATASET_MIRROR at one: {error}")

    def choose_quick_ones(content: dict) -> None:
        content["presets"] = ["dense_512", "cnn_fast"]
        content["models"]["cnn_fast"]["epochs"] = 1  # enough to read drawn digits

    return train_once(tmp_path_factory, "mnist", choose_quick_ones)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The shrunken pipeline, run once from nothing to registered models; tests fork it."""
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


def pytest_collection_finish() -> None:
    """Take the modules that the tests import out of garbage collection, which then takes a fraction of its time."""
    gc.freeze()
