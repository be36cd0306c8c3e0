"""The page with which `make ui` opens, and what can prevent that."""

import json
import os
import socket
import sys

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

from pipeline.cli import UserError
from pipeline.commands import ui
from tests.helpers.params import PARAMS

SERVER = "http://127.0.0.1:"


@pytest.fixture
def replaced(root, monkeypatch) -> list[tuple]:
    """The programs that would have replaced this process, in a project on digits; they are only recorded."""
    (root / "params.yaml").write_text(PARAMS.replace("dataset: mnist", "dataset: digits"))
    monkeypatch.chdir(root)
    monkeypatch.delenv("MLFLOW_BACKEND_STORE_URI", raising=False)
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "true")
    calls = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: calls.append((program, *arguments)))
    return calls


@pytest.fixture
def port() -> str:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_the_ui_starts_on_the_store_and_its_runs_page_is_printed(store, root, replaced, port, capsys):
    ui.main(port)
    ((program, *arguments),) = replaced
    assert (program, arguments[:4]) == (sys.executable, [sys.executable, "-m", "mlflow", "ui"])
    assert arguments[4:6] == ["--port", port]
    assert os.environ["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{root}/mlflow.db"
    page = f"#/experiments/{store.experiment_id}/runs?workflowType=machine_learning&viewStateShareKey=overview"
    assert capsys.readouterr().out == f"The runs on digits: {SERVER}{port}/{page}\n"


def test_the_page_has_a_view_with_the_best_run_first_and_its_figures(store, replaced, port):
    for _ in range(2):
        ui.main(port)
    tags = store.client.get_experiment(store.experiment_id).tags
    view = json.loads(tags["mlflow.sharedViewState.overview"])
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`val_accuracy`", False)
    assert {"metrics.`val_accuracy`", "metrics.`test_accuracy`", "params.`epochs`"} <= set(view["selectedColumns"])


def test_without_a_run_on_the_data_set_the_newest_other_experiment_is_shown(store, root, replaced, port, capsys):
    (root / "params.yaml").write_text(PARAMS)
    ui.main(port)
    assert "The runs on digits:" in capsys.readouterr().out


def test_a_port_in_use_is_refused_before_anything_is_opened(store, replaced):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UserError, match="can't listen on port"):
            ui.main(str(other.getsockname()[1]))
    assert replaced == []


def test_a_store_without_a_run_is_an_error_that_says_how_to_make_one(root, replaced, port):
    with pytest.raises(UserError, match="has no run yet: run `make run` first"):
        ui.main(port)
    assert replaced == []


def test_a_server_has_a_ui_of_its_own(store, replaced, monkeypatch, capsys):
    monkeypatch.setattr(ui, "store_uri", lambda: "https://me:secret@mlflow.example/")
    ui.main("no port is needed")
    assert capsys.readouterr().out.startswith("The runs on digits: https://mlflow.example/#/experiments/")
    assert replaced == []


def test_who_may_only_read_gets_the_page_without_the_view(store, replaced, monkeypatch, capsys):
    def refuse(*_: str) -> None:
        raise MlflowException("Permission denied", error_code=PERMISSION_DENIED)

    monkeypatch.setattr(MlflowClient, "set_experiment_tag", refuse)
    monkeypatch.setattr(ui, "store_uri", lambda: "https://team")
    ui.main("no port is needed")
    page = f"#/experiments/{store.experiment_id}/runs?workflowType=machine_learning"
    assert capsys.readouterr().out == f"The runs on digits: https://team/{page}\n"
