"""A saved model whose answers are known, and the app that serves it, in this process."""

from pathlib import Path

import pytest

from serving.app.asgi import build_app
from serving.app.limits import Limits
from serving.images import Form
from serving.model_source import ModelSource
from tests.helpers.client import AsgiClient
from tests.helpers.models import save_model, write_artifacts


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that answers with the place of the bright pixel; tests must not change it."""
    folder = tmp_path_factory.mktemp("model")
    return save_model(folder / "saved", write_artifacts(folder))


@pytest.fixture(scope="session")
def source(model_folder: Path) -> ModelSource:
    return ModelSource(str(model_folder))


@pytest.fixture(scope="session")
def client(source: ModelSource) -> AsgiClient:
    """A client of the whole app, without a server."""
    return AsgiClient(build_app(source, Limits(threads=1), {"localhost", "127.0.0.1", "[::1]"}))


COLOUR = Form(12, 20, 3, "crop")
ANIMALS = ["cat", "dog", "Katze, schwarz", "猫"]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    """A model for small colour pictures in four classes."""
    folder = tmp_path_factory.mktemp("pictures")
    return ModelSource(str(save_model(folder / "saved", write_artifacts(folder, COLOUR, ANIMALS), COLOUR)))


@pytest.fixture(scope="session")
def picture_client(pictures: ModelSource) -> AsgiClient:
    """A client of the whole app on that model."""
    return AsgiClient(build_app(pictures, Limits(threads=1), {"localhost"}))
