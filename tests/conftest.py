"""Fixtures that all tests share: the pipeline, trained once on each data set, and the app on its champion."""

from collections.abc import Callable, Iterator

import pytest
from filelock import FileLock

from tests.helpers.project import Project, copy_project, environment, fork, shrink
from tests.helpers.server import App, running


def train_once(tmp_path_factory: pytest.TempPathFactory, name: str, change: Callable[[dict], None]) -> Project:
    """A project that the first test process to ask for it trains, for all of them: to be read, not to be changed."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    with FileLock(shared / f"{name}.lock"):
        folder, finished = shared / name, shared / f"{name}.trained"
        if finished.exists():
            return Project(folder, environment())
        assert not folder.exists(), f"training {name} has failed before"
        folder.mkdir()
        project = copy_project(folder, change)
        ran = project.repro()
        presets = project.parameters()["presets"]
        per_model = [f"{stage}@{preset}" for stage in ("train", "evaluate") for preset in presets]
        assert ran == ["code", "download", "preprocess", *per_model, "register"], ran
        finished.touch()
        return project


@pytest.fixture(scope="session")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two published presets, trained on real MNIST where a mirror answers; skips, with the reason, where none does."""
    from pipeline.commands.offline import answers

    if not answers("mnist"):
        pytest.skip("no mirror of MNIST answers; point DATASET_MIRROR at one")
    return train_once(tmp_path_factory, "mnist", lambda content: content.update(presets=["dense_512", "cnn_fast"]))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The shrunken pipeline, run once from nothing to registered models; tests fork it."""
    return train_once(tmp_path_factory, "digits", shrink)


@pytest.fixture(scope="module")
def project(trained: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the trained pipeline that the tests of one module may run, change and break."""
    return fork(trained, tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def app(project: Project) -> Iterator[App]:
    """The project's own server on the shrunken pipeline's champion."""
    with running(project) as app:
        yield app
