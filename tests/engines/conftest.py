"""A team's tracking server for the tests of this folder; if it can't be started, they are skipped with the reason."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.checkouts import PRESETS, write_checkout
from tests.helpers.server import Server
from tests.helpers.team import find_postgresql, store_address, team


class Team(NamedTuple):
    """The address of the database and of the lock in it, MLflow's server on it, and the variables for S3."""

    database: str
    server: Server
    storage: dict[str, str]

    @property
    def store(self) -> str:
        """The database's address, as MLflow's server needs it."""
        return store_address(self.database)

    @property
    def variables(self) -> dict[str, str]:
        """The variables that each member of the team sets."""
        return {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{self.server.port}", "REGISTRY_LOCK": self.database}


@pytest.fixture(scope="session")
def mlflow_team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """One server for all tests; each test has its own data set."""
    if not find_postgresql():
        pytest.skip("PostgreSQL isn't installed: `apt-get install postgresql`")
    missing = [name for name in ("psycopg", "boto3", "flask_wtf", "moto") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} can't be imported: `make test-engines` installs them")
    with team(tmp_path_factory.mktemp("team")) as made:
        yield Team(*made)


@pytest.fixture
def make_checkout(tmp_path: Path) -> Callable[..., Path]:
    """Make a checkout with trained models of some presets on one data set."""

    def make(name: str, dataset: str, *presets: str) -> Path:
        (tmp_path / name).mkdir()
        write_checkout(tmp_path / name, dataset, {preset: PRESETS[preset] for preset in presets})
        return tmp_path / name

    return make
