"""A repeated training is compared with dvc.lock; a difference is reported with its reason."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.cli import UserError
from pipeline.code import format_description
from pipeline.commands import verify
from pipeline.paths import CODE, Workspace
from tests.helpers.params import PARAMS
from tests.helpers.trained import write_trained_model

NAMES = ("dense_10", "cnn_fast")


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    """Two trained models, recorded in dvc.lock; training again gives the files in the workspace."""
    workspace = Workspace(tmp_path)
    content = YAML(typ="safe").load(PARAMS) | {"presets": list(NAMES)}
    YAML().dump(content, workspace.params)
    for name in NAMES:
        write_trained_model(workspace, name)
    record(workspace, content)
    monkeypatch.setattr(verify, "train_again", lambda name, workspace, scratch: workspace.model(name))
    return workspace


def record(workspace: Workspace, content: dict) -> None:
    """Write dvc.lock from the files that are there."""
    description = {"data/prepared/dataset.json": workspace.dataset.read_bytes()}
    description["code/train.txt"] = format_description("train", CODE).encode()
    stages = {}
    for name in NAMES:
        files = {f"models/{name}/{file}": (workspace.model(name) / file).read_bytes() for file in verify.FILES}
        chosen = {"seed": content["seed"], "threads": 2, f"models.{name}": content["models"][name]}
        stages[f"train@{name}"] = {"deps": describe(description), "params": {"params.yaml": chosen}}
        stages[f"evaluate@{name}"] = {"deps": describe(files)}
    YAML().dump({"schema": "2.0", "stages": stages}, workspace.root / "dvc.lock")


def describe(contents: dict[str, bytes]) -> list[dict[str, str]]:
    return [{"path": path, "md5": verify.md5_of(content)} for path, content in contents.items()]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_same_files_are_said_to_be_the_same(workspace, capsys):
    verify.main(workspace=workspace)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [[name, "same"] for name in NAMES]
    verify.main("cnn_fast", workspace)
    assert capsys.readouterr().out.splitlines() == lines[1:]


def change_parameter(workspace: Workspace) -> None:
    edit(workspace.params, "threads: 2", "threads: 3")


def change_model(workspace: Workspace) -> None:
    edit(workspace.params, "epochs: 10", "epochs: 11")


def change_data(workspace: Workspace) -> None:
    edit(workspace.dataset, '"seed": 7', '"seed": 8')


def train_by_hand(workspace: Workspace) -> None:
    (workspace.model("dense_10") / "model.onnx").write_text("another")


def lose_receipt(workspace: Workspace) -> None:
    (workspace.model("dense_10") / "receipt.json").unlink()


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (change_parameter, ["threads differs in params.yaml"]),
        (change_model, ["models.dense_10.epochs differs in params.yaml"]),
        (change_data, ["the prepared data differ: run `dvc repro preprocess`"]),
        (train_by_hand, ["dvc.lock has the evaluation of an earlier training: run `dvc repro evaluate@dense_10`"]),
        (lambda workspace: None, ["nothing that dvc.lock records differs, so the processor or the system rounds"]),
        (lose_receipt, ["recorded on a machine that is not known here (`dvc pull` brings its receipt), now "]),
    ],
)
def test_a_difference_is_named_with_its_reason_and_the_other_models_are_verified(
    workspace, capsys, monkeypatch, change: Callable[[Workspace], None], reasons
):
    again = workspace.root / "again"
    shutil.copytree(workspace.model("dense_10"), again)
    (again / "model.onnx").write_text("another")
    trained = {"dense_10": again, "cnn_fast": workspace.model("cnn_fast")}
    monkeypatch.setattr(verify, "train_again", lambda name, workspace, scratch: trained[name])
    change(workspace)
    with pytest.raises(UserError, match=r"^not as dvc.lock records: dense_10$"):
        verify.main(workspace=workspace)
    first, *because, last = capsys.readouterr().out.splitlines()
    assert first.split() == ["dense_10", "DIFFERS", "model.onnx"]
    assert len(because) == len(reasons)
    for line, reason in zip(because, reasons, strict=True):
        assert reason in line
    assert last.split()[:2] == ["cnn_fast", "same"]


def test_another_code_is_a_reason(workspace, capsys, monkeypatch):
    (workspace.model("dense_10") / "history.csv").write_text("another")
    monkeypatch.setattr(verify, "format_description", lambda stage, root: "another")
    with pytest.raises(UserError):
        verify.main("dense_10", workspace)
    assert "the code that trains, or a locked version of a package, has changed" in capsys.readouterr().out


def test_what_was_never_recorded_can_not_be_verified(workspace):
    with pytest.raises(
        UserError, match=r"no trained .* dense_512: add dense_512 to presets .*; dvc.lock has dense_10, cnn_fast$"
    ):
        verify.main("dense_512", workspace)
    (workspace.root / "dvc.lock").unlink()
    with pytest.raises(UserError, match=r"dvc.lock is missing: run `dvc repro`"):
        verify.main(workspace=workspace)


@pytest.mark.parametrize("damage", ["", "<<<<<<< HEAD\nschema: '2.0'\n=======\n", "schema: '2.0'\n"])
def test_a_damaged_record_is_reported(workspace, damage):
    (workspace.root / "dvc.lock").write_text(damage)
    with pytest.raises(UserError, match=r"dvc.lock is damaged \(.*\): resolve a merge's conflict in it"):
        verify.main(workspace=workspace)
