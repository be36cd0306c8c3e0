"""If an input of a stage changes, or DVC is killed, the stage publishes nothing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from pipeline import code, evaluate, guard, preprocess
from pipeline.cli import UserError
from pipeline.guard import StageGuard
from pipeline.paths import Workspace
from tests.helpers.networks import write_bright_pixels
from tests.helpers.params import PARAMS
from tests.helpers.project import SOURCE


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    """A project with its own code, parameters and prepared data."""
    shutil.copytree("pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "serving").mkdir()
    shutil.copy("serving/model.py", tmp_path / "serving")
    for name in ("requirements.lock", "dvc.yaml"):
        shutil.copy(name, tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS)
    for name in ("train/images.npy", "val/images.npy", "test/images.npy", "dataset.json"):
        path = tmp_path / "data/prepared" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.setattr(guard, "CODE", tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    return Workspace(tmp_path)


def edit(workspace: Workspace, file: str, old: str, new: str) -> None:
    path = workspace.root / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        ("params.yaml", "epochs: 10", "epochs: 11", "models.dense_10.epochs in params.yaml"),
        ("params.yaml", "seed: 0", "seed: 1", "seed in params.yaml"),
        ("params.yaml", "models:", "models: [", "what can't be read any more"),
        ("pipeline/training/networks.py", "MOMENTUM = 0.9", "MOMENTUM = 0.8", "pipeline/training/networks.py"),
        ("pipeline/training/networks.py", "MOMENTUM = 0.9", "MOMENTUM = = ", "what can't be read any more"),
        ("requirements.lock", "\nkeras==3", "\nkeras==4", "keras==3"),
        ("data/prepared/val/images.npy", "images", "others", "data/prepared/val/images.npy"),
        ("data/prepared/dataset.json", "dataset", "another", "data/prepared/dataset.json"),
    ],
)
def test_a_change_of_what_a_training_reads_is_refused_and_named(workspace, capsys, file, old, new, named):
    asked = StageGuard("train", workspace, "dense_10")
    asked.check()
    edit(workspace, file, old, new)
    with pytest.raises(UserError, match="changed while train ran, so nothing was published: run `dvc repro`") as error:
        asked.check()
    assert named in str(error.value)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("params.yaml", "epochs: 5", "epochs: 6"),  # epochs of other models
        ("params.yaml", "seed: 0", "seed: 0 # a comment"),
        ("params.yaml", "presets: [perceptron,", "presets: ["),
        ("pipeline/training/networks.py", '"""From a model', '"""Of a model'),
        ("pipeline/evaluation/metrics.py", "1e-7", "1e-6"),
        ("data/prepared/test/images.npy", "images", "others"),
    ],
)
def test_what_a_training_does_not_read_may_change(workspace, file, old, new):
    asked = StageGuard("train", workspace, "dense_10")
    edit(workspace, file, old, new)
    asked.check()


def test_a_change_that_is_undone_does_no_harm(workspace):
    asked = StageGuard("train", workspace, "dense_10")
    edit(workspace, "params.yaml", "epochs: 10", "epochs: 11")
    edit(workspace, "params.yaml", "epochs: 11", "epochs: 10")
    asked.check()


def test_a_warning_comes_once_while_the_change_can_be_undone(workspace, monkeypatch, capsys):
    monkeypatch.setattr(guard, "WARNING_INTERVAL_S", 0)
    asked = StageGuard("train", workspace, "dense_10")
    asked.warn()
    assert capsys.readouterr().out == ""
    edit(workspace, "params.yaml", "epochs: 10", "epochs: 11")
    asked.warn()
    asked.warn()
    warning = (
        "warning: models.dense_10.epochs in params.yaml changed: unless that is undone, train will publish nothing\n"
    )
    assert capsys.readouterr().out == warning


def test_many_changes_are_counted(workspace):
    asked = StageGuard("train", workspace, "dense_10")
    shutil.rmtree(workspace.root / "data/prepared")
    edit(workspace, "params.yaml", "kernel_initializer: orthogonal", "dense_layers: 3")
    edit(workspace, "params.yaml", "seed: 0", "seed: 1")
    with pytest.raises(UserError, match=r"kernel_initializer in params\.yaml and 1 more changed while train ran"):
        asked.check()


def test_preprocess_publishes_nothing_where_its_parameters_change(tmp_path, monkeypatch):
    workspace = Workspace(tmp_path)
    workspace.params.write_text(PARAMS)

    def prepare(raw: Path, folder: Path, *arguments: object) -> dict:
        edit(workspace, "params.yaml", "validation_images: 5000", "validation_images: 50")
        return {"splits": {}, "found": {}}

    monkeypatch.setattr(preprocess, "prepare", prepare)
    with pytest.raises(UserError, match=r"validation_images in params.yaml changed while preprocess ran"):
        preprocess.main(workspace)
    assert not list((tmp_path / "data").iterdir())


def test_evaluate_publishes_nothing_where_the_model_changes(tmp_path, monkeypatch):
    from pipeline.evaluation import report, robustness

    workspace = Workspace(tmp_path)
    write_bright_pixels(workspace, 10, 10)
    onnx = workspace.model("dense_10") / "model.onnx"
    monkeypatch.setattr(report, "answer", lambda *arguments: SimpleNamespace(split=None, published=None))
    monkeypatch.setattr(report, "compute_metrics", lambda *arguments: {})
    monkeypatch.setattr(robustness, "measure", lambda *arguments: pd.DataFrame())
    monkeypatch.setattr(robustness, "summarise", lambda *arguments: {})
    monkeypatch.setattr(report, "write_report", lambda *arguments: onnx.write_bytes(onnx.read_bytes()))
    with pytest.raises(UserError, match=r"models/dense_10/model.onnx changed while evaluate ran"):
        evaluate.main("dense_10", workspace)
    assert not list((tmp_path / "reports").iterdir())


def test_a_stage_that_dvc_started_needs_the_code_that_dvc_has_recorded(workspace, monkeypatch):
    code.main(workspace)
    monkeypatch.setattr(guard, "find_dvc", lambda: guard.psutil.Process())
    StageGuard("train", workspace, "dense_10")
    edit(workspace, "pipeline/training/networks.py", "MOMENTUM = 0.9", "MOMENTUM = 0.8")
    with pytest.raises(UserError, match=r"code/train.txt doesn't describe the code .* `dvc repro --force code`"):
        StageGuard("train", workspace, "dense_10")
    StageGuard("evaluate", workspace, "dense_10")


def test_what_a_person_starts_does_not_depend_on_its_parent(monkeypatch):
    monkeypatch.delenv("DVC_STAGE", raising=False)
    assert guard.find_dvc() is None


WATCHED = """
import os, time
from pathlib import Path
from types import SimpleNamespace
from pipeline import guard
guard.WATCH_INTERVAL_S = 0.01
guard.StageGuard._require_recorded_code = lambda self: None
from pipeline.paths import Workspace
guard.StageGuard("download", Workspace(Path("{root}")))
print("ready", flush=True)
time.sleep(60)
"""
DVC = """
import os, subprocess, sys
subprocess.run(sys.argv[1:], env=os.environ | {"DVC_STAGE": "download"})
"""


def start_as_dvc_does(workspace: Workspace, *shell: str, **options: object) -> subprocess.Popen[str]:
    command = (*shell, f"{sys.executable} -c '{WATCHED.format(root=workspace.root)}' ; true")
    return subprocess.Popen(
        (sys.executable, "-c", DVC, *command),
        cwd=SOURCE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options,
    )  # fmt: skip


def test_a_stage_ends_with_the_dvc_that_started_it(workspace):
    # A shell between the two processes, as DVC starts it, stays alive.
    dvc = start_as_dvc_does(workspace, "/bin/sh", "-c")
    assert dvc.stdout.readline() == "ready\n"
    dvc.kill()
    with dvc.stdout:  # it ends when the last process that writes to it has ended
        said = dvc.stdout.read()
    dvc.wait()
    assert "error: dvc, which started this stage, has ended, so nothing is published: run `dvc repro` again" in said


def test_a_stage_whose_dvc_has_ended_already_does_not_begin(workspace):
    done = subprocess.run(
        (sys.executable, "-c", WATCHED.format(root=workspace.root)), cwd=SOURCE,
        env=os.environ | {"DVC_STAGE": "download"}, capture_output=True, text=True, start_new_session=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "ready" not in done.stdout
    assert "dvc, which started this stage, has ended" in done.stderr
