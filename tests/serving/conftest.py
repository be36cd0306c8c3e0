"""The project that the tests of this folder ask for."""

import pytest

from tests.helpers.project import Project


@pytest.fixture(scope="session")
def project(trained: Project) -> Project:
    """The trained pipeline itself, not a copy: these tests only read it."""
    return trained
