"""The pipeline from end to end, on scikit-learn's digits, in its own git and DVC repository.

Each test leaves the project as `dvc repro` would leave it: running that would take seconds, to look for changes.
"""

import json
import os
import sys
from hashlib import sha256
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from pipeline.commands import lineage
from tests.helpers.answers import METRICS


@pytest.fixture
def client(project) -> MlflowClient:
    uri = f"sqlite:///{project.folder}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    return MlflowClient(uri)


def runs(client: MlflowClient) -> list:
    return client.search_runs([client.get_experiment_by_name("digits").experiment_id])


def read(project, path: str) -> dict:
    return json.loads((project.folder / path).read_text())


def files(project, folder: str) -> dict[str, bytes]:
    """The content of every file in a folder, by its path in the folder."""
    start = project.folder / folder
    return {str(path.relative_to(start)): path.read_bytes() for path in start.rglob("*") if path.is_file()}


def test_a_second_repro_runs_nothing(project):
    assert project.repro() == []


def test_one_parameter_changes_one_model(project, client, monkeypatch, capsys):
    before, former = files(project, "models/tiny_cnn"), project.registered()["dense_10"]

    def one_epoch_more(content: dict) -> None:
        content["models"]["dense_10"]["epochs"] += 1

    project.edit(one_epoch_more)
    assert project.repro() == ["train@dense_10", "evaluate@dense_10", "register"]
    assert before == files(project, "models/tiny_cnn")
    # The lineage tells the two trainings apart, and has the uncommitted changes of the second.
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("DVC_ROOT", str(project.folder))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    lineage.main(f"models:/digits/{former.version}")
    assert "elsewhere    models/dense_10 holds another experiment's model" in capsys.readouterr().out
    added = project.registered()["dense_10"]
    lineage.main(f"models:/digits/{added.version}")
    assert "dirty: the run's training/uncommitted.diff says how" in capsys.readouterr().out
    diff = Path(client.download_artifacts(added.run_id, "training/uncommitted.diff")).read_text()
    assert "-    epochs: 2\n+    epochs: 3\n" in diff


def test_repeats_train_further_seeds_and_come_and_go(project):
    model, report = files(project, "models/dense_10"), files(project, "reports/dense_10")
    project.edit(lambda content: content.update(seeds_per_model=2))
    assert project.repro("evaluate@dense_10") == ["train@dense_10", "evaluate@dense_10"]
    repeated = files(project, "models/dense_10")
    assert set(repeated) - set(model) == {"further_seeds/1.onnx"}
    assert [repeated[name] for name in ("model.keras", "model.onnx")] == [model["model.keras"], model["model.onnx"]]
    once, twice = json.loads(report["metrics.json"]), read(project, "reports/dense_10/metrics.json")
    assert {key: twice[key] for key in once} == once
    assert set(twice) - set(once) == {
        "val_accuracy_mean", "val_accuracy_deviation", "test_accuracy_mean", "test_accuracy_deviation",
        "seeds_per_model",
    }  # fmt: skip
    project.edit(lambda content: content.update(seeds_per_model=1))
    assert project.repro("evaluate@dense_10") == []  # both come from DVC's cache
    assert (model, report) == (files(project, "models/dense_10"), files(project, "reports/dense_10"))


ONE_CORE = (
    "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); os.execvp(sys.argv[1], sys.argv[1:])"
)


def test_training_again_gives_the_same_bytes_also_on_one_core(project):
    folder = project.folder / "models/tiny_cnn"
    files = ("model.keras", "model.onnx", "model.tflite", "model_int8.tflite", "history.csv")
    first = {name: sha256((folder / name).read_bytes()).hexdigest() for name in files}
    report = (project.folder / "reports/tiny_cnn/metrics.json").read_bytes()
    # Only the receipt may differ, and nothing depends on it.
    again = ("dvc", "repro", "--force", "--single-item", "train@tiny_cnn")
    one_core = (sys.executable, "-c", ONE_CORE) if hasattr(os, "sched_setaffinity") else ()
    assert "Running stage 'train@tiny_cnn'" in project.run(*one_core, *again).stdout
    assert first == {name: sha256((folder / name).read_bytes()).hexdigest() for name in files}
    assert project.repro() == []
    assert report == (project.folder / "reports/tiny_cnn/metrics.json").read_bytes()


def test_mlflow_has_each_model_with_all_that_made_it(project, client):
    registry = read(project, "registry/registry.json")
    assert (registry["name"], set(registry["models"])) == ("digits", {"dense_10", "tiny_cnn"})
    version = project.registered()["tiny_cnn"]
    run = client.get_run(version.run_id)
    receipt, metrics = read(project, "models/tiny_cnn/receipt.json"), read(project, "reports/tiny_cnn/metrics.json")
    assert (run.info.run_name, run.info.status) == ("tiny_cnn", "FINISHED")
    assert run.data.params["convolutions.0.filters"] == "8"
    assert run.data.params["optimizer"] == "Adam"
    assert run.data.params["optimizer.learning_rate"] == "0.01"
    assert run.data.params["dataset"] == "digits"
    assert {key: run.data.metrics[key] for key in metrics} == metrics
    history = pd.read_csv(project.folder / "models/tiny_cnn/history.csv")
    for column in ("loss", "accuracy", "val_loss", "val_accuracy"):
        logged = client.get_metric_history(run.info.run_id, f"epoch/{column}")
        assert [(point.step, point.value) for point in logged] == list(
            zip(history["epoch"], history[column], strict=True)
        )
    tags = run.data.tags
    assert tags["mlflow.source.git.commit"] == receipt["git"]["commit"]
    assert tags["dvc.stage"] == "train@tiny_cnn"
    assert tags["onnx_sha256"] == sha256((project.folder / "models/tiny_cnn/model.onnx").read_bytes()).hexdigest()
    assert tags["data_sha256"] == sha256((project.folder / "data/prepared/dataset.json").read_bytes()).hexdigest()
    assert run.inputs.dataset_inputs[0].dataset.name == "digits"
    figures = {artifact.path for artifact in client.list_artifacts(run.info.run_id, "report")}
    drawn = ("confusion_matrix", "learning_curves", "mistakes", "layers", "embedding")
    assert {f"report/{name}.png" for name in drawn} <= figures
    assert version.tags["content_key"] == tags["content_key"]


def test_the_champion_is_the_best_on_validation_images(project, client):
    metrics = {name: read(project, f"reports/{name}/metrics.json") for name in ("dense_10", "tiny_cnn")}
    best = max(metrics, key=lambda name: metrics[name]["val_accuracy"])
    assert client.get_model_version_by_alias("digits", "champion").tags["model"] == best


def test_registering_twice_adds_nothing(project, client):
    project.run("python", "-m", "pipeline.register")  # removes the run that a forced training has left
    registry = read(project, "registry/registry.json")
    before = len(runs(client)), len(client.search_model_versions()), len(client.search_logged_models(["1"]))
    project.run("python", "-m", "pipeline.register")
    assert before == (len(runs(client)), len(client.search_model_versions()), len(client.search_logged_models(["1"])))
    assert registry == read(project, "registry/registry.json")


def test_a_run_that_was_cut_short_is_completed(project, client):
    registry = read(project, "registry/registry.json")
    run_id = project.registered()["dense_10"].run_id
    points = client.get_metric_history(run_id, "epoch/loss")
    client.set_terminated(run_id, "FAILED")
    project.run("python", "-m", "pipeline.register")
    assert client.get_run(run_id).info.status == "FINISHED"
    assert client.get_metric_history(run_id, "epoch/loss") == points
    assert read(project, "registry/registry.json") == registry


def test_a_model_file_that_was_changed_is_not_registered(project):
    path = project.folder / "models/dense_10/model.onnx"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"x")
    done = project.run("python", "-m", "pipeline.register", check=False)
    path.write_bytes(content)
    assert done.returncode == 1
    assert done.stderr.startswith("error: models/dense_10/model.onnx is not the file that train@dense_10 wrote")


def test_a_store_that_is_down_is_reported(project):
    address = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    lock = {"REGISTRY_LOCK": str(project.folder / "the.lock")}
    done = project.run("python", "-m", "pipeline.register", check=False, **address, **lock)
    assert done.returncode == 1
    assert "http://127.0.0.1:9 can't be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_metrics_and_plots_are_declared_to_dvc(project):
    shown = json.loads(project.run("dvc", "metrics", "show", "--json").stdout)[""]["data"]
    assert set(shown) == {"reports/dense_10/metrics.json", "reports/tiny_cnn/metrics.json"}
    assert shown["reports/tiny_cnn/metrics.json"]["data"].keys() >= set(METRICS)
    page = project.run("dvc", "plots", "show").stdout.strip().removeprefix("file://")
    with open(page) as file:
        html = file.read()
    assert "Validation accuracy" in html
    assert html.count('"model": "tiny_cnn"') > 100  # 3 epochs, and 100 pairs of label and answer


def test_an_experiment_runs_elsewhere_and_lands_in_the_one_store(project, client):
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "Before the experiment")
    before = {run.info.run_id for run in runs(client)}
    project.run("dvc", "exp", "run", "--temp", "--name", "narrow", "-S", "models.tiny_cnn.epochs=1")
    (added,) = [run for run in runs(client) if run.info.run_id not in before]
    assert added.data.params["epochs"] == "1"
    assert added.data.tags["dvc.experiment"] == "narrow"
    assert str(project.folder / "mlruns") in added.info.artifact_uri


def test_training_by_hand_again_leaves_one_run(project, client):
    registry = read(project, "registry/registry.json")
    before = {run.info.run_id for run in runs(client)}
    done = project.run("python", "-m", "pipeline.train", "dense_10")
    assert done.stderr == ""  # TensorFlow, its converters and MLflow print many messages, but none that helps the user
    project.run("python", "-m", "pipeline.register")
    assert {run.info.run_id for run in runs(client)} == before
    assert read(project, "registry/registry.json") == registry
