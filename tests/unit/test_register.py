import json
import re
import shutil
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import pytest

from pipeline import register
from pipeline.cli import UserError
from pipeline.commands import ensure_registered
from pipeline.config.credits import Credit
from pipeline.config.params import load
from pipeline.config.promotion import Promotion
from pipeline.paths import Workspace
from pipeline.tracking import registry, runs, trained_model
from pipeline.tracking.processes import identify_process
from tests.helpers.params import PARAMS
from tests.helpers.trained import write_trained_model

NAMES = ("dense_10", "cnn_fast")


@pytest.fixture
def workspace(root, monkeypatch) -> Workspace:
    """Two trained presets; cnn_fast is better than dense_10. MLflow gets their runs without files and metrics."""
    workspace = Workspace(root)
    head, models = PARAMS.split("models:\n")
    head = re.sub("(?m)^presets: .*$", f"presets: [{', '.join(NAMES)}]", head)
    sections = [section for section in models.split("\n\n") if section.strip().partition(":")[0] in NAMES]
    workspace.params.write_text("\n\n".join([f"{head}models:", *sections]))
    params = load(workspace.params)
    for wrong, name in enumerate(reversed(NAMES)):
        parameters = params.model(name).model_dump(mode="json")
        write_trained_model(workspace, name, 2 * wrong, seed=0, parameters=parameters)

    def log_model(run_id: str, model) -> None:
        client = register.connect("digits").client
        made = client.create_logged_model(client.get_run(run_id).info.experiment_id, source_run_id=run_id)
        write_description(made)
        client.finalize_logged_model(made.model_id, "READY")

    monkeypatch.setattr(runs, "log_model", log_model)
    # Parameters and metrics take most of the time; tests/unit/tracking/test_runs.py tests them.
    monkeypatch.setattr(runs, "log_entries", lambda *arguments: None)
    return workspace


def write_description(model) -> None:
    """The one file of a logged model that `register` looks for."""
    folder = Path(urlsplit(model.artifact_location).path)
    folder.mkdir(parents=True)
    (folder / "MLmodel").touch()


def read_registry(workspace: Workspace) -> dict:
    return json.loads((workspace.registry / "registry.json").read_text())


def edit_params(workspace: Workspace, old: str, new: str) -> None:
    text = workspace.params.read_text()
    assert old in text
    workspace.params.write_text(text.replace(old, new))


def test_every_preset_is_registered_and_the_best_is_the_champion(workspace, capsys):
    register.main(workspace)
    keys = {name: {"content_key": trained_model.read(name, workspace).key} for name in NAMES}
    assert read_registry(workspace) == {"name": "digits", "models": keys}
    store = register.connect("digits")
    assert store.aliases() == {"champion": "2"}
    for number, name in enumerate(NAMES, start=1):
        assert store.version(str(number)).tags["content_key"] == keys[name]["content_key"]
    decisions = {number: json.loads(store.version(number).tags["promotion"]) for number in ("1", "2")}
    assert {number: decision["promote"] for number, decision in decisions.items()} == {"1": False, "2": True}
    assert "there is no champion; validation accuracy 0.5" in decisions["2"]["reasons"][0]
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "dense_10         val 80.00%  test 75.00%  models:/digits/1",
        "cnn_fast         val 100.00%  test 75.00%  models:/digits/2  champion",
    ]


@pytest.mark.slow
def test_the_tables_for_plots_have_every_model(workspace):
    register.main(workspace)
    curves = pd.read_csv(workspace.registry / "learning_curves.csv")
    assert list(curves.columns) == ["epoch", "loss", "val_accuracy", "model"]
    assert curves["model"].tolist() == ["dense_10"] * 2 + ["cnn_fast"] * 2
    answers = pd.read_csv(workspace.registry / "confusion.csv")
    assert answers["model"].tolist() == ["dense_10"] * 100 + ["cnn_fast"] * 100
    assert answers.query("images > 0")[["label", "answer", "images"]].to_numpy().tolist() == [[4, 4, 1]] * 2


def test_registering_again_changes_nothing(workspace):
    register.main(workspace)
    before = read_registry(workspace)
    register.main(workspace)
    assert read_registry(workspace) == before
    assert len(register.connect("digits").search_runs("")) == 2


@pytest.mark.slow
def test_what_a_killed_commands_last_request_makes_late_is_deleted(workspace, monkeypatch):
    """A server handles a request although the command that sent it is dead and another command has the lock."""
    model, original = trained_model.read(NAMES[0], workspace), register.promote

    def promote(store, versions, policy, may_decide):
        run = store.client.create_run(store.experiment_id, tags=model.tags)
        store.client.create_model_version("digits", versions[0].source, run.info.run_id, tags=model.tags)
        return original(store, versions, policy, may_decide)

    monkeypatch.setattr(register, "promote", promote)
    register.main(workspace)
    store = register.connect("digits")
    assert sorted(int(version.version) for version in store.search_versions()) == [1, 2]
    assert len(store.search_runs("")) == 2


def test_a_lock_that_is_lost_stops_the_command_before_its_next_write(workspace, monkeypatch):
    @contextmanager
    def lock_registry():
        yield require_lock

    def require_lock() -> None:
        if lost:
            raise UserError("the lock was lost")

    def promote(*arguments):
        lost.append(True)
        return original(*arguments)

    lost, original = [], register.promote
    monkeypatch.setattr(register, "lock_registry", lock_registry)
    monkeypatch.setattr(register, "promote", promote)
    with pytest.raises(UserError, match="the lock was lost"):
        register.main(workspace)
    assert register.connect("digits").aliases() == {}
    assert not workspace.registry.exists()


def test_without_a_champion_that_and_the_reasons_are_said(workspace, capsys):
    edit_params(workspace, "max_size_bytes: null", "max_size_bytes: 1")
    register.main(workspace)
    *rows, said, first, second = capsys.readouterr().out.splitlines()
    assert not [row for row in rows if "champion" in row]
    assert said == "digits has no champion; `make promote VERSION=…` makes a version champion"
    assert first.startswith("  version 2: its file of ")
    assert "exceeds the limit of 1" in first
    assert second.startswith("  version 1: ")


@pytest.mark.slow
def test_an_experiment_moves_no_alias_unless_the_parameters_say_so(workspace, capsys, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "wild-idea")
    register.main(workspace)
    assert register.connect("digits").aliases() == {}
    assert "an experiment moves no alias: `make run` lets the gate decide on version 1, 2" in capsys.readouterr().out
    edit_params(workspace, "max_size_bytes: null", "in_experiments: true")
    register.main(workspace)
    assert register.connect("digits").aliases() == {"champion": "2"}
    assert "an experiment" not in capsys.readouterr().out


@pytest.mark.slow
def test_after_an_experiment_a_plain_run_decides(workspace, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "wild-idea")
    register.main(workspace)
    monkeypatch.delenv("DVC_EXP_NAME")
    ensure_registered.main(workspace)
    assert register.connect("digits").aliases() == {"champion": "2"}


@pytest.mark.slow
def test_what_the_champion_is_of_another_run_is_said(workspace, capsys):
    register.main(workspace)
    edit_params(workspace, "presets: [dense_10, cnn_fast]", "presets: [dense_10]")
    capsys.readouterr()
    register.main(workspace)
    assert capsys.readouterr().out.splitlines()[-1] == "the champion is models:/digits/2"


@pytest.mark.slow
def test_registry_json_stays_the_same_when_the_champion_changes(workspace):
    """Otherwise a rollback would show up in `dvc status`."""
    register.main(workspace)
    before = read_registry(workspace)
    store = register.connect("digits")
    registry.promote_by_hand(store, registry.settle(store), store.version("1"), "a reason")
    register.main(workspace)
    assert (read_registry(workspace), store.aliases()["champion"]) == (before, "1")


@pytest.mark.slow
def test_a_fresh_store_gets_the_champion_and_the_rejections_of_the_journal(workspace, root, empty_database):
    """As after `git clone` and `dvc pull`, if the journal is committed."""
    register.main(workspace)
    store = register.connect("digits")
    state = registry.promote_by_hand(store, registry.settle(store), store.version("1"), "a reason")
    registry.promote_by_hand(store, state, store.version("2"), "a reason")
    registry.roll_back(store, registry.settle(store), "a reason")
    wipe(root / "mlflow.db", empty_database)
    ensure_registered.main(workspace)
    store = register.connect("digits")
    assert store.aliases() == {"champion": "1"}
    assert not json.loads(store.version("2").tags["promotion"])["promote"]


def wipe(database: Path, empty: Path) -> None:
    """Empty a store through SQLite, because MLflow keeps the file open."""
    with closing(sqlite3.connect(empty)) as source, closing(sqlite3.connect(database)) as target:
        source.backup(target)


def lose_decision(workspace: Workspace) -> None:
    store = register.connect("digits")
    store.client.delete_model_version_tag("digits", "1", "promotion")


def lose_files(workspace: Workspace) -> None:
    shutil.rmtree(workspace.root / "mlruns")


def lose_state(workspace: Workspace) -> None:
    register.connect("digits").client.delete_registered_model_tag("digits", "champions")


def lose_alias(workspace: Workspace) -> None:
    register.connect("digits").client.delete_registered_model_alias("digits", "champion")


def move_alias(workspace: Workspace) -> None:
    register.connect("digits").client.set_registered_model_alias("digits", "champion", "1")


def change_policy(workspace: Workspace) -> None:
    edit_params(workspace, "alpha: 0.05", "alpha: 0.04")


@pytest.mark.slow
@pytest.mark.parametrize("lose", [lose_decision, lose_files, lose_state, lose_alias, move_alias, change_policy])
def test_make_run_registers_what_the_store_lacks_and_nothing_else(workspace, monkeypatch, lose):
    ensure_registered.main(workspace)
    called = []
    monkeypatch.setattr(register, "main", lambda workspace: called.append(workspace))
    ensure_registered.main(workspace)
    assert called == []
    lose(workspace)
    ensure_registered.main(workspace)
    assert called == [workspace]


@pytest.mark.slow
def test_another_policy_decides_once_and_make_run_does_not_register_again(workspace, monkeypatch):
    """The champion keeps its decision under the former policy."""
    register.main(workspace)
    change_policy(workspace)
    register.main(workspace)
    called = []
    monkeypatch.setattr(register, "main", lambda workspace: called.append(workspace))
    ensure_registered.main(workspace)
    assert called == []


def test_a_store_that_refuses_is_reported(workspace, monkeypatch):
    from mlflow.exceptions import MlflowException

    def refuse(store, models, policy: Promotion, credit: Credit) -> None:
        raise MlflowException("no\nway")

    monkeypatch.setattr(register, "register", refuse)
    with pytest.raises(UserError, match=r"can't be used: no\. .*run the command again"):
        register.main(workspace)
    assert not workspace.registry.exists()


@pytest.mark.slow
def test_the_runs_of_killed_processes_are_closed(workspace):
    store = register.connect("digits")
    host = identify_process().split()[0]
    left = store.client.create_run(store.experiment_id, tags={"process": f"{host} 1@1.0"}).info.run_id
    elsewhere = store.client.create_run(store.experiment_id, tags={"process": f"other-{host} 1@1.0"}).info.run_id
    register.main(workspace)
    statuses = {run.info.run_id: run.info.status for run in store.search_runs("")}
    assert (statuses[left], statuses[elsewhere]) == ("KILLED", "RUNNING")


@pytest.mark.parametrize(
    ("old", "new"), [("seed: 0", "seed: 1"), ("    epochs: 10", "    epochs: 11"), ("threads: 2", "threads: 3")]
)
def test_a_model_of_other_parameters_is_not_registered(workspace, old, new):
    edit_params(workspace, old, new)
    with pytest.raises(UserError, match=r"models/\w+ was trained with other .*: run `dvc repro --force train@\w+`"):
        register.main(workspace)
    assert not workspace.registry.exists()


@pytest.mark.slow
def test_reports_of_former_presets_are_removed_where_dvc_has_them(workspace, capsys):
    for name in ("former", "by_hand"):
        workspace.report(name).mkdir()
        (workspace.report(name) / "metrics.json").write_text("{}")
    (workspace.root / "dvc.lock").write_text(
        "stages:\n  evaluate@dense_10:\n    cmd: a\n  evaluate@former:\n    cmd: b\n"
    )
    register.main(workspace)
    assert {path.name for path in workspace.report("any").parent.iterdir()} == {*NAMES, "by_hand"}
    assert "reports/former: removed, because presets has no former; DVC's cache keeps it" in capsys.readouterr().out
