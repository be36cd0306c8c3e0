"""The app follows the alias `champion`; if the next version isn't as it was registered, the app keeps its version."""

import importlib.util
import json
import py_compile
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest

from tests.helpers.broken_models import ALTERATIONS, change_code, damage_network
from tests.helpers.project import SOURCE
from tests.helpers.server import Server, running

POLL = ("--poll-seconds", "0.1")


class Registry:
    """A separate registry on the pipeline's artefacts; tests may change its aliases and versions."""

    def __init__(self, project, folder: Path):
        self.folder, self.file = folder, folder / "mlflow.db"
        shutil.copy(project.folder / "mlflow.db", self.file)
        self.uri = f"sqlite:///{self.file}"
        self.client = mlflow.MlflowClient(self.uri)
        self.versions = sorted(str(v.version) for v in self.client.search_model_versions("name = 'digits'"))
        self.first = str(self.client.get_model_version_by_alias("digits", "champion").version)

    def promote(self, version: str) -> None:
        self.client.set_registered_model_alias("digits", "champion", version)

    def register(self, change: Callable[[Path], None]) -> str:
        """A copy of the first champion as a new version, with the same tags but changed files."""
        original = self.client.get_model_version("digits", self.first)
        folder = self.folder / f"model-{time.monotonic_ns()}"
        shutil.copytree(Path(self.client.get_model_version_download_uri("digits", self.first)[7:]), folder)
        change(folder)
        added = self.client.create_model_version("digits", folder.as_uri(), tags=original.tags)
        return str(added.version)


@pytest.fixture(scope="module")
def registry(project, tmp_path_factory) -> Registry:
    return Registry(project, tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def app(project, registry) -> Iterator[Server]:
    with running(project, *POLL, MLFLOW_TRACKING_URI=registry.uri) as server:
        yield server


def wait_until(app: Server, holds: Callable[[dict], bool]) -> dict:
    """The answer of /readyz, once `holds` is true for it."""
    deadline = time.monotonic() + 60
    while True:
        answer = app.get("/readyz")
        assert answer.status == 200, answer.body
        if holds(answer.json):
            return answer.json
        assert time.monotonic() < deadline, (answer.body, app.log)
        time.sleep(0.02)


def test_the_alias_moves_twenty_times_under_load_and_no_request_fails(app, registry):
    failed, answered, done = [], set(), threading.Event()

    def load() -> None:
        connection = app.connect()
        while not done.is_set():
            connection.request("POST", "/predict", bytes(784), {"Content-Type": "application/octet-stream"})
            response = connection.getresponse()
            body = response.read()
            if response.status == 200:
                answered.add(json.loads(body)["model"]["version"])
            else:
                failed.append(body)

    clients = [threading.Thread(target=load) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        for move in range(20):
            version = registry.versions[move % 2]
            registry.promote(version)
            wait_until(app, lambda ready, version=version: ready["model"]["version"] == version)
        registry.promote(registry.first)
        wait_until(app, lambda ready: ready["model"]["version"] == registry.first)
    finally:
        done.set()
        for client in clients:
            client.join()
    assert failed == []
    assert answered == set(registry.versions)
    assert "Traceback" not in app.log


@pytest.mark.parametrize(
    "name",
    ["a folder that the MLmodel names as its data", "a network that never ends", "other golden images", "no network"],
)
def test_a_version_that_is_not_what_was_registered_is_not_served(app, registry, name):
    change, message = ALTERATIONS[name]
    broken = registry.register(change)
    registry.promote(broken)
    ready = wait_until(app, lambda ready: ready["problem"])
    assert message in ready["problem"]
    assert ready["problem"].startswith(f"version {broken} ")
    assert ready["problem"].endswith(f"version {registry.first} is still served")
    assert (ready["status"], ready["model"]["version"]) == ("ready", registry.first)
    assert app.predict(bytes(784)).json["model"]["version"] == registry.first
    registry.promote(registry.first)
    wait_until(app, lambda ready: ready["problem"] is None)
    assert app.log.count(ready["problem"]) == 1
    assert "Traceback" not in app.log
    assert not list(registry.folder.glob("*/executed"))


def test_compiled_code_beside_the_source_is_not_run(app, registry):
    """The bytecode is marked as unchecked, so Python would run it without comparing it with the source."""

    def add_compiled(folder: Path) -> None:
        change_code(folder)
        target = importlib.util.cache_from_source(folder / "model.py")
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(folder / "model.py"), target, invalidation_mode=mode)
        shutil.copy(SOURCE / "serving" / "model.py", folder / "model.py")

    version = registry.register(add_compiled)
    registry.promote(version)
    wait_until(app, lambda ready: ready["model"]["version"] == version)
    assert not list(registry.folder.glob("*/executed"))
    registry.promote(registry.first)
    wait_until(app, lambda ready: ready["model"]["version"] == registry.first)


def test_a_registry_that_is_away_changes_nothing_but_readyz(app, registry):
    away = registry.file.rename(registry.folder / "away.db")
    ready = wait_until(app, lambda ready: ready["problem"])
    assert "the registry" in ready["problem"]
    assert app.predict(bytes(784)).status == 200
    away.rename(registry.file)
    wait_until(app, lambda ready: ready["problem"] is None)


def test_a_broken_champion_keeps_the_server_from_starting(project, registry):
    registry.promote(registry.register(damage_network))
    with pytest.raises(AssertionError, match=r"error: version \d+ .* artifacts/model.onnx has not"):
        running(project, MLFLOW_TRACKING_URI=registry.uri).__enter__()
    registry.promote(registry.first)
