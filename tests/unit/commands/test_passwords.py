"""If an address is wrong, no command shows the password in it."""

import json
import os
from collections.abc import Callable

import mlflow
import pytest

from pipeline import register
from pipeline.cli import UserError, first_line
from pipeline.commands import champion, compare, lineage, promote, rebuild, rollback, ui
from pipeline.paths import Workspace
from pipeline.tracking import follow
from pipeline.tracking.location import store_label
from serving.model_source import ModelLoadError, ModelSource
from tests.helpers.checkouts import PRESETS, write_checkout

SECRET = "kept-to-myself"
ADDRESSES = (
    "http://me:{}@127.0.0.1:9",
    "https://me:{}@127.0.0.1:9/mlflow",
    "http://me:{}@127.0.0.1:not-a-port",
    "http://me:x/{}@127.0.0.1:9",
    "http://me:x@{}@127.0.0.1:9",
    "nonsense://me:{}@127.0.0.1:9",
    "postgresql://me:{}@127.0.0.1:9/mlflow",
    "postgresql+psycopg://127.0.0.1:9/mlflow?user=me&password={}",
    "mysql://me:x%{}@127.0.0.1:9/mlflow",
)


def look_up() -> None:
    """Look a model up as the app does, in the present store: MLflow would keep using that of an earlier test."""
    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
    ModelSource("models:/digits@champion")


COMMANDS: dict[str, Callable[[], object]] = {
    "register": register.main,
    "promote": lambda: promote.main("1"),
    "rollback": rollback.main,
    "rebuild": rebuild.main,
    "lineage": lineage.main,
    "champion": champion.main,
    "compare": lambda: print(compare.find_champion("digits")),
    "ui": lambda: ui.main("0"),
    "follow": lambda: follow.follow(iter([{"dataset": "digits"}])),
    "journal": lambda: print(store_label()),
    "serving": look_up,
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkout")
    write_checkout(folder, "digits", {"dense_10": PRESETS["dense_10"]})
    registry = Workspace(folder).registry
    registry.mkdir()
    (registry / "registry.json").write_text(json.dumps({"name": "digits"}))
    return folder


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_shows_a_password(checkout, monkeypatch, capfd, tmp_path, name, address):
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("DVC_ROOT", str(checkout))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address.format(SECRET))
    monkeypatch.setenv("REGISTRY_LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(rebuild, "find_cache", lambda: tmp_path)
    monkeypatch.setattr(ui, "require_free_port", lambda port: None)
    message = ""
    try:
        COMMANDS[name]()
    except (UserError, ModelLoadError) as error:
        message = str(error)
    except Exception as error:
        assert name == "follow"  # it reports whatever a store raises
        message = first_line(error)
    out, err = capfd.readouterr()
    assert message or out
    assert SECRET not in message + out + err
