"""The registry on a team's tracking server: PostgreSQL, S3, MLflow's server, and clients by http."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from mlflow.artifacts import download_artifacts
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from benchmarks.registry_race import COMMAND, HERE, HOLDERS, THERE, find_faults, start
from pipeline import register
from pipeline.cli import UserError
from pipeline.commands import champion, ensure_registered, lineage, promote, rebuild, rollback
from pipeline.files import sha256_of
from pipeline.tracking.store import connect
from tests.helpers.server import launched
from tests.helpers.team import ask, checkout_environment, mlflow_server
from tests.helpers.waiting import eventually

WORSE, BETTER = "dense_10", "cnn_fast"


@pytest.fixture
def enter(mlflow_team, monkeypatch):
    """Switch to a checkout, as a member of the team."""

    def enter(checkout: Path) -> None:
        monkeypatch.chdir(checkout)
        for name, value in ({"DVC_ROOT": str(checkout)} | mlflow_team.variables).items():
            monkeypatch.setenv(name, value)

    return enter


def test_two_checkouts_register_at_once_and_one_is_killed_with_the_lock(mlflow_team, make_checkout):
    checkouts = [make_checkout(name, "race", *presets) for name, presets in (("a", HERE), ("b", THERE))]
    processes = {checkout: start(checkout, mlflow_team.variables) for checkout in checkouts}
    client = mlflow.MlflowClient(mlflow_team.variables["MLFLOW_TRACKING_URI"])
    eventually(lambda: client.search_model_versions("name = 'race'"))  # then the command is in the middle of its work
    (name,) = ask(mlflow_team.database, HOLDERS)
    killed = next(checkout for checkout, process in processes.items() if name.endswith(f" {process.pid}"))
    processes[killed].send_signal(signal.SIGKILL)
    eventually(lambda: name not in ask(mlflow_team.database, HOLDERS), seconds=5)
    processes[killed].communicate()
    processes[killed] = start(killed, mlflow_team.variables)
    outputs = {process.communicate()[0]: process.returncode for process in processes.values()}
    assert set(outputs.values()) == {0}, outputs
    assert list(find_faults(mlflow_team.server, "race")) == []


def test_commands_and_the_app_behave_as_on_the_file_beside_the_project(enter, mlflow_team, make_checkout, capsys):
    checkout = make_checkout("a", "one", WORSE, BETTER)
    enter(checkout)
    register.main()
    store = connect("one")
    assert store.client.get_experiment(store.experiment_id).artifact_location.startswith("mlflow-artifacts:/")
    assert store.aliases() == {"champion": "2"}
    ensure_registered.main()
    promote.main("1", "a reason")
    assert store.aliases() == {"champion": "1", "previous": "2"}
    rollback.main("a reason")
    assert store.aliases() == {"champion": "2"}
    register.main()
    assert store.aliases() == {"champion": "2"}
    assert len(store.search_versions()) == len(store.search_runs("")) == 2
    champion.main()
    capsys.readouterr()
    lineage.main()
    assert "as recorded: " in capsys.readouterr().out
    app = (sys.executable, "-m", "serving.app", "models:/one@champion")
    only_the_server = {"MLFLOW_TRACKING_URI": mlflow_team.variables["MLFLOW_TRACKING_URI"]}
    with launched(app, checkout, checkout_environment(checkout, **only_the_server)) as server:
        assert server.get("/readyz").json["model"]["version"] == "2"
    assert not (checkout / "mlruns").exists()
    assert not (checkout / "mlflow.db").exists()


def test_a_rebuild_keeps_the_numbers_of_versions_whose_content_is_gone(enter, make_checkout, monkeypatch, capsys):
    checkout = make_checkout("a", "lost", WORSE)
    enter(checkout)
    event = {"event": "decided", "store": "mlflow.db", "name": "lost", "version": "2", "content_key": "gone"}
    event |= {
        "against": None,
        "policy": None,
        "promote": True,
        "reasons": ["of old"],
        "time": "2026-01-01T00:00:00+00:00",
    }
    (checkout / "promotions.jsonl").write_text(json.dumps(event) + "\n")
    monkeypatch.setattr(rebuild, "find_cache", lambda: checkout / "no-cache")
    monkeypatch.setattr(rebuild, "load", lambda: type("Params", (), {"presets": (WORSE,), "credits": {}}))
    rebuild.main()
    store = connect("lost")
    assert [int(version.version) for version in store.search_versions()] == [3]
    assert len(store.search_runs("")) == 1
    assert "not on this disk any more, or only with newer serving code: version 2" in capsys.readouterr().out


def test_artefacts_that_s3_has_lost_come_back(enter, make_checkout):
    checkout = make_checkout("a", "emptied", WORSE)
    enter(checkout)
    register.main()
    store = connect("emptied")
    (version,) = store.search_versions()
    get_artifact_repository(store.client.get_experiment(store.experiment_id).artifact_location).delete_artifacts()
    with pytest.raises(UserError, match=r"has lost its training/receipt\.json"):
        lineage.main()
    ensure_registered.main()
    folder = Path(download_artifacts("models:/emptied/1"))
    assert sha256_of(folder / "artifacts/model.onnx") == version.tags["onnx_sha256"]
    lineage.main()


def test_a_server_that_keeps_no_artefacts_is_refused(mlflow_team, make_checkout, tmp_path):
    checkout = make_checkout("a", "scattered", WORSE)
    with mlflow_server(tmp_path, mlflow_team.store, "--no-serve-artifacts") as server:
        variables = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{server.port}", "REGISTRY_LOCK": str(tmp_path / "lock")}
        done = subprocess.run(
            COMMAND, cwd=checkout, env=checkout_environment(checkout, **variables), capture_output=True, text=True
        )
    assert done.returncode == 1
    assert "keeps the artefacts of scattered in a folder on each machine" in done.stderr
    assert "--artifacts-destination s3://BUCKET/FOLDER" in done.stderr
    assert not (checkout / "mlruns").exists()
