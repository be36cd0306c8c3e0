import os
import shutil
import subprocess
import sys
import time

import pytest
from sqlalchemy.exc import OperationalError

from pipeline.cli import UserError
from pipeline.tracking.location import store_uri
from pipeline.tracking.store import connect, connect_existing, store_error


def test_a_data_sets_experiment_is_made_once_with_its_artefacts_beside_the_store(store, root):
    again = connect("digits")
    assert (store.name, again.experiment_id) == ("digits", store.experiment_id)
    assert connect("mnist").experiment_id != store.experiment_id
    experiment = store.client.get_experiment(store.experiment_id)
    assert (experiment.name, experiment.artifact_location) == ("digits", (root / "mlruns/digits").as_uri())


def test_looking_at_a_store_makes_nothing(root):
    (root / "mlflow.db").unlink()
    with pytest.raises(UserError, match=r"there is no MLflow store at .*/mlflow.db: run `make run`"):
        connect_existing("digits")
    assert not (root / "mlflow.db").exists()


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_makes_the_database_leaves_none(root):
    (root / "mlflow.db").unlink()
    process = subprocess.Popen([sys.executable, "-c", "from pipeline.tracking.store import connect; connect('digits')"])
    draft = root / "mlflow.db.new"
    while not (draft.exists() and draft.stat().st_size):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (root / "mlflow.db").exists()
    store = connect("digits")
    assert connect_existing("digits").experiment_id == store.experiment_id
    assert {path.name for path in root.glob("mlflow.db*")} == {"mlflow.db", "mlflow.db.lock"}


def test_a_model_that_a_store_has_not_is_reported_and_not_made(store):
    assert connect_existing("digits").experiment_id == store.experiment_id
    with pytest.raises(UserError, match=r"mlflow.db has no model mnist: run `make run`"):
        connect_existing("mnist")
    assert store.client.get_experiment_by_name("mnist") is None


def test_two_projects_in_one_process_have_a_store_each(root, monkeypatch, tmp_path_factory, empty_database):
    """MLflow writes the address into the environment, where it could be mistaken for the user's own setting."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    connect("digits")
    other = tmp_path_factory.mktemp("other")
    shutil.copy(empty_database, other)
    monkeypatch.setenv("DVC_ROOT", str(other))
    assert store_uri() == f"sqlite:///{other}/mlflow.db"
    connect("mnist")
    monkeypatch.setenv("DVC_ROOT", str(root))
    assert connect("digits").client.get_experiment_by_name("mnist") is None


def test_mlflow_neither_waits_long_nor_reports(root, monkeypatch):
    settings = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
    for name in settings:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    connect("digits")
    assert {name: os.environ[name] for name in settings} == settings | {"MLFLOW_HTTP_REQUEST_TIMEOUT": "3"}


def test_a_server_that_is_down_is_reported_in_one_line(root, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(
        UserError, match=r"store http://127.0.0.1:9 can't be used: .*unset MLFLOW_TRACKING_URI"
    ) as error:
        connect("digits")
    assert "\n" not in str(error.value)


def test_an_address_that_is_no_store_is_reported(root, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://here")
    with pytest.raises(UserError, match=r"MLflow's store nonsense://here can't be used"):
        connect("digits")


def test_a_database_that_fails_is_reported(root, monkeypatch):
    def fail(client, name) -> None:
        raise OperationalError("select", {}, Exception("disk I/O error"))

    monkeypatch.setattr("pipeline.tracking.store.open_experiment", fail)
    with pytest.raises(UserError, match=r"mlflow.db can't be used: .*disk I/O error"):
        connect("digits")


def test_an_address_is_shown_without_its_password(root, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://somebody:secret@example.org")
    error = store_error(ValueError("https://somebody:secret@example.org is down"))
    assert "secret" not in str(error)
    assert "https://example.org is down" in str(error)


def test_an_error_without_a_text_is_reported_by_its_kind(root):
    assert "can't be used: KeyError. " in str(store_error(KeyError()))
    assert "can't be used: first. " in str(store_error(ValueError("first\nsecond")))


def test_runs_are_searched_in_this_experiment_alone_newest_first(store):
    def make_run(experiment_id: str, start: int, kind: str) -> str:
        return store.client.create_run(experiment_id, start, {"kind": kind}).info.run_id

    first, second = make_run(store.experiment_id, 1, "a"), make_run(store.experiment_id, 2, "a")
    make_run(store.experiment_id, 3, "b")
    make_run(connect("mnist").experiment_id, 4, "a")
    assert [run.info.run_id for run in store.search_runs("tags.kind = 'a'")] == [second, first]
    assert [run.info.run_id for run in store.search_runs("tags.kind = 'a'", limit=1)] == [second]
    assert store.find_run("tags.kind = 'a'").info.run_id == second
    assert store.find_run("tags.kind = 'c'") is None


def test_versions_and_aliases_are_those_of_the_registered_model(store):
    for name in ("digits", "mnist"):
        store.client.create_registered_model(name)
        store.client.create_model_version(name, source="file:///nowhere", tags={"kind": "a"})
    store.client.create_model_version("digits", source="file:///nowhere", tags={"kind": "b"})
    assert sorted(int(version.version) for version in store.search_versions()) == [1, 2]
    assert [int(version.version) for version in store.search_versions("tags.kind = 'b'")] == [2]
    store.set_alias("champion", "2")
    assert store.aliases() == {"champion": "2"}
    store.delete_alias("champion")
    assert store.aliases() == {}
    store.tag_version("1", "key", "value")
    assert (store.version("1").tags["key"], "key" in store.version("2").tags) == ("value", False)
    store.tag_model("key", "value")
    assert store.registered_model().tags["key"] == "value"


def test_before_the_first_version_there_is_no_model(store):
    assert (store.registered_model(), store.aliases()) == (None, {})


def test_only_models_that_are_logged_completely_are_ready(store):
    run, other = (store.client.create_run(store.experiment_id).info.run_id for _ in range(2))
    pending, ready = (store.client.create_logged_model(store.experiment_id, source_run_id=run) for _ in range(2))
    store.client.create_logged_model(store.experiment_id, source_run_id=other)
    store.client.finalize_logged_model(ready.model_id, "READY")
    assert pending.status == "PENDING"
    assert [model.model_id for model in store.ready_models(run)] == [ready.model_id]
    assert store.ready_models(other) == []
