"""Fixtures that all tests share: the pipeline, run once on each data set, and the app on its champion."""

from collections.abc import Iterator

import pytest

from tests.helpers.project import Project, copy_project, shrink
from tests.helpers.server import App, running


@pytest.fixture(scope="session")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two published presets, trained on real MNIST where a mirror answers; skips, with the reason, where none does."""
    from pipeline.commands.offline import answers

    if not answers("mnist"):
        pytest.skip("no mirror of MNIST answers; point DATASET_MIRROR at one")

    def two_models(content: dict) -> None:
        content["presets"] = ["dense_512", "cnn_fast"]

    project = copy_project(tmp_path_factory.mktemp("mnist"), two_models)
    project.repro()
    return project


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The shrunken pipeline, run once from nothing to registered models."""
    project = copy_project(tmp_path_factory.mktemp("project"), shrink)
    ran = project.repro()
    assert ran == [
        "download", "preprocess", "train@dense_10", "train@tiny_cnn", "evaluate@dense_10", "evaluate@tiny_cnn",
        "register",
    ], ran  # fmt: skip
    return project


@pytest.fixture(scope="session")
def app(project: Project) -> Iterator[App]:
    """The project's own server on the shrunken pipeline's champion."""
    with running(project) as app:
        yield app
