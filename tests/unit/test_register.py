import json

import pandas as pd
import pytest

from pipeline import register
from pipeline.cli import UserError
from pipeline.config.params import load
from pipeline.config.promotion import Promotion
from pipeline.paths import Workspace
from pipeline.tracking import runs, trained_model
from pipeline.tracking.processes import identify_process
from tests.helpers.params import PARAMS
from tests.helpers.trained import write_trained_model

NAMES = ("dense_10", "cnn_fast")


@pytest.fixture
def workspace(root, monkeypatch) -> Workspace:
    """Two trained presets, cnn_fast better than dense_10; MLflow gets their runs without the models' files."""
    workspace = Workspace(root)
    lines = PARAMS.splitlines()
    presets = next(number for number, line in enumerate(lines) if line.startswith("presets:"))
    lines[presets] = f"presets: [{', '.join(NAMES)}]"
    workspace.params.write_text("\n".join(lines))
    for wrong, name in enumerate(reversed(NAMES)):
        parameters = load(workspace.params).model(name).model_dump(mode="json")
        write_trained_model(workspace, name, 2 * wrong, seed=0, parameters=parameters)

    def log_model(run_id: str, model) -> None:
        client = register.connect("digits").client
        made = client.create_logged_model(client.get_run(run_id).info.experiment_id, source_run_id=run_id)
        client.finalize_logged_model(made.model_id, "READY")

    monkeypatch.setattr(runs, "log_model", log_model)
    return workspace


def read_registry(workspace: Workspace) -> dict:
    return json.loads((workspace.registry / "registry.json").read_text())


def edit_params(workspace: Workspace, old: str, new: str) -> None:
    text = workspace.params.read_text()
    assert old in text
    workspace.params.write_text(text.replace(old, new))


def test_every_preset_is_registered_and_the_best_is_the_champion(workspace, capsys):
    register.main(workspace)
    registry = read_registry(workspace)
    assert (registry["name"], list(registry["models"])) == ("digits", list(NAMES))
    assert registry["champion"] == {"version": 2, "model": "cnn_fast"}
    store = register.connect("digits")
    assert store.aliases() == {"champion": "2"}
    for number, name in enumerate(NAMES, start=1):
        entry = registry["models"][name]
        version = store.version(str(number))
        assert (entry["version"], entry["run_id"]) == (number, version.run_id)
        assert entry["content_key"] == trained_model.read(name, workspace).key == version.tags["content_key"]
    promoted = {name: entry["promoted"] for name, entry in registry["models"].items()}
    assert promoted == {"dense_10": False, "cnn_fast": True}
    assert "there is no champion; validation accuracy 0.5" in registry["models"]["cnn_fast"]["reasons"][0]
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "dense_10         val 80.00%  test 75.00%  models:/digits/1",
        "cnn_fast         val 100.00%  test 75.00%  models:/digits/2  champion",
    ]


def test_the_tables_for_plots_have_every_model(workspace):
    register.main(workspace)
    curves = pd.read_csv(workspace.registry / "learning_curves.csv")
    assert list(curves.columns) == ["epoch", "loss", "val_accuracy", "model"]
    assert curves["model"].tolist() == ["dense_10"] * 2 + ["cnn_fast"] * 2
    answers = pd.read_csv(workspace.registry / "confusion.csv")
    assert answers["model"].tolist() == ["dense_10"] * 100 + ["cnn_fast"] * 100
    assert answers.query("images > 0")[["label", "digit", "images"]].to_numpy().tolist() == [[4, 4, 1]] * 2


def test_registering_again_changes_nothing(workspace):
    register.main(workspace)
    before = read_registry(workspace)
    register.main(workspace)
    assert read_registry(workspace) == before
    assert len(register.connect("digits").search_runs("")) == 2


def test_without_a_champion_nothing_is_marked_and_the_reasons_are_kept(workspace, capsys):
    edit_params(workspace, "max_size_bytes: null", "max_size_bytes: 1")
    register.main(workspace)
    registry = read_registry(workspace)
    assert registry["champion"] is None
    assert "exceeds the limit of 1" in registry["models"]["cnn_fast"]["reasons"][0]
    assert "champion" not in capsys.readouterr().out


def test_a_store_that_refuses_is_reported(workspace, monkeypatch):
    from mlflow.exceptions import MlflowException

    def refuse(store, models, policy: Promotion) -> None:
        raise MlflowException("no\nway")

    monkeypatch.setattr(register, "register", refuse)
    with pytest.raises(UserError, match=r"can't be used: no\. .*run the command again"):
        register.main(workspace)
    assert not workspace.registry.exists()


def test_the_runs_of_killed_processes_are_closed(workspace):
    store = register.connect("digits")
    host = identify_process().split()[0]
    left = store.client.create_run(store.experiment_id, tags={"process": f"{host} 1@1.0"}).info.run_id
    elsewhere = store.client.create_run(store.experiment_id, tags={"process": f"other-{host} 1@1.0"}).info.run_id
    register.main(workspace)
    statuses = {run.info.run_id: run.info.status for run in store.search_runs("")}
    assert (statuses[left], statuses[elsewhere]) == ("KILLED", "RUNNING")


@pytest.mark.parametrize(("old", "new"), [("seed: 0", "seed: 1"), ("    epochs: 10", "    epochs: 11")])
def test_a_model_of_other_parameters_is_not_registered(workspace, old, new):
    edit_params(workspace, old, new)
    with pytest.raises(UserError, match=r"models/\w+ was trained with other .*: run `dvc repro --force train@\w+`"):
        register.main(workspace)
    assert not workspace.registry.exists()


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
