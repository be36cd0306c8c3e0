"""dvc.yaml as DVC runs it: which changes make a stage run again, and which don't."""

import json
import subprocess
from pathlib import Path

import psutil
import pytest
from mlflow.tracking import MlflowClient
from ruamel.yaml import YAML

from tests.helpers.project import Project
from tests.helpers.waiting import eventually

STAGES = YAML(typ="safe").load(Path("dvc.yaml"))["stages"]


def test_an_edited_comment_runs_no_stage_but_the_one_that_looks_at_the_code(project):
    for path in (project.folder / "pipeline").rglob("*.py"):
        if text := path.read_text():
            path.write_text(f"# An edited comment.\n{text}")
    assert project.repro() == ["code"]
    assert project.repro() == []


@pytest.mark.parametrize(
    ("file", "old", "new", "stages"),
    [
        ("pipeline/evaluation/metrics.py", "SMALLEST_PROBABILITY = 1e-7", "SMALLEST_PROBABILITY = 1e-6", ["evaluate"]),
        ("pipeline/commands/compare.py", "ALPHA = 0.05", "ALPHA = 0.01", []),
    ],
)
def test_a_line_that_computes_runs_the_stages_that_use_it(project, file, old, new, stages):
    path = project.folder / file
    path.write_text(path.read_text().replace(old, new))
    ran = project.repro()
    models = project.parameters()["presets"]
    assert ran == ["code", *(f"{stage}@{model}" for stage in stages for model in models)]


def test_another_keras_trains_each_model_again(project):
    lock = project.folder / "requirements.lock"
    locked = lock.read_text()
    lock.write_text(locked.replace("keras==3.", "keras==4.", 1))
    status = project.run("dvc", "status").stdout  # the stage `code`, which reads the code, comes first
    assert "requirements.lock" in status
    assert project.repro("code") == ["code"]
    stale = project.run("dvc", "status").stdout
    assert [f"train@{model}" in stale for model in project.parameters()["presets"]] == [True, True]
    assert "evaluate@" not in stale
    lock.write_text(locked)  # otherwise the next test would train


def test_a_model_depends_on_its_own_parameters_and_never_on_the_test_split():
    train = STAGES["train"]
    assert train["params"] == ["seed", "seeds_per_model", "threads", "models.${item.model}"]
    assert not {"data/prepared", "data/prepared/test"} & set(train["deps"])


def test_nothing_depends_on_a_receipt():
    deps = [dep for stage in STAGES.values() for dep in stage["deps"]]
    assert not [dep for dep in deps if dep == "models" or dep.endswith(("receipt.json", "${item.model}"))]


def test_the_diagram_names_no_modules():
    deps = [dep for stage in STAGES.values() for dep in stage["deps"]]
    assert not [dep for dep in deps if dep.endswith(".py")]
    assert len(Path("dvc.yaml").read_text().splitlines()) <= 60


def start_training(project: Project, epochs: int) -> subprocess.Popen[str]:
    """Start `dvc repro` on a changed model; return the process in the middle of the training."""
    project.edit(lambda content: content["models"]["dense_10"].update(epochs=epochs))
    process = subprocess.Popen(
        ("dvc", "repro", "train@dense_10"),
        cwd=project.folder, env=project.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    for line in process.stdout:
        if "epoch 1/" in line:
            return process
    pytest.fail("the training has not begun")


def models(project: Project) -> set[str]:
    return {path.name for path in (project.folder / "models").iterdir()}


def test_parameters_that_change_while_training_publish_nothing_and_are_trained_next(project):
    project.repro()
    recorded = (project.folder / "dvc.lock").read_text()
    process = start_training(project, epochs=6)
    project.edit(lambda content: content["models"]["dense_10"].update(epochs=3))
    output, _ = process.communicate()
    assert process.returncode
    assert "error: models.dense_10.epochs in params.yaml changed while train ran, so nothing was published" in output
    assert models(project) == {"tiny_cnn"}
    assert (project.folder / "dvc.lock").read_text() == recorded
    store = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    experiment = store.get_experiment_by_name("digits").experiment_id
    (failed,) = eventually(lambda: store.search_runs([experiment], "attributes.status = 'FAILED'"))
    assert failed.data.params["epochs"] == "6"
    assert failed.data.metrics.keys() >= {"epoch/loss", "epoch/val_accuracy"}
    assert project.repro("train@dense_10") == ["train@dense_10"]
    receipt = json.loads((project.folder / "models/dense_10/receipt.json").read_text())
    assert (receipt["parameters"]["epochs"], len(receipt["epochs"])) == (3, 3)


def test_a_training_ends_with_the_dvc_that_started_it(project):
    process = start_training(project, epochs=40)
    trainings = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    with process.stdout:
        output = process.stdout.read()  # returns when the last process that writes to it has ended
    process.wait()
    assert "dvc, which started this stage, has ended, so nothing is published: run `dvc repro` again" in output
    psutil.wait_procs(trainings, timeout=60)
    assert models(project) == {"tiny_cnn"}
