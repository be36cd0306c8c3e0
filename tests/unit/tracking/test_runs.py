"""A trained model's run and version in a real store; only the model itself is logged without its files."""

import json
import shutil
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
import pytest
from mlflow.models import Model

from pipeline.config.promotion import Promotion
from pipeline.files import sha256_of
from pipeline.paths import Workspace
from pipeline.tracking import promotion, runs, trained_model
from pipeline.tracking.follow import follow
from pipeline.tracking.processes import identify_process
from pipeline.tracking.run_entries import to_milliseconds
from pipeline.tracking.store import Store, connect
from pipeline.tracking.trained_model import TrainedModel
from serving.verification import hash_files
from tests.helpers.trained import DATASET, write_trained_model


@pytest.fixture
def logged(store, monkeypatch) -> list[str]:
    """The runs whose model was logged, in order."""
    logged = []

    def log_model(run_id: str, model: TrainedModel) -> None:
        logged.append(run_id)
        made = store.client.create_logged_model(store.experiment_id, name="model", source_run_id=run_id)
        description(made).parent.mkdir(parents=True)
        description(made).touch()
        store.client.finalize_logged_model(made.model_id, "READY")

    monkeypatch.setattr(runs, "log_model", log_model)
    return logged


def description(logged_model) -> Path:
    """The file MLmodel of a logged model."""
    return Path(urlsplit(logged_model.artifact_location).path) / "MLmodel"


def make_model(root, name: str = "tiny", folder: str = "workspace", **receipt) -> TrainedModel:
    workspace = Workspace(root / folder)
    write_trained_model(workspace, name, **receipt)
    return trained_model.read(name, workspace)


def all_runs(store: Store) -> list:
    return store.search_runs("")


def test_a_version_is_registered_with_a_run_that_has_all_that_made_it(store, root, logged):
    model = make_model(root, git={"commit": "3" * 40, "dirty": True, "diff": "- a\n+ b\n"})
    version = runs.register_version(store, model)
    (run,) = all_runs(store)
    assert (version.name, int(version.version), version.run_id) == ("digits", 1, run.info.run_id)
    assert version.tags == model.tags | {"files_sha256": json.dumps({"MLmodel": sha256(b"").hexdigest()})}
    assert (run.info.run_name, run.info.status, logged) == ("tiny", "FINISHED", [run.info.run_id])
    assert run.info.start_time == to_milliseconds("2026-01-02T03:04:00+00:00")
    assert run.info.end_time == to_milliseconds("2026-01-02T03:04:02+00:00")
    assert {key: run.data.tags[key] for key in model.tags} == model.tags
    assert run.data.params == {
        "dataset": "digits", "seed": "7", "seeds_per_model": "1", "family": "dense", "epochs": "2", "optimizer": "Adam",
        "optimizer.learning_rate": "0.01",
    }  # fmt: skip
    assert {key: run.data.metrics[key] for key in model.metrics} == model.metrics
    history = store.client.get_metric_history(run.info.run_id, "epoch/loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.25)]
    files = {
        entry.path for folder in ("report", "training")
        for entry in store.client.list_artifacts(run.info.run_id, folder)
    }  # fmt: skip
    assert files == {
        *(f"report/{file}" for file in ("metrics.json", "model.sha256", "golden.json", "predictions.csv")),
        *(f"training/{file}" for file in ("model.keras", "history.csv", "receipt.json", "uncommitted.diff")),
    }
    path = store.client.download_artifacts(run.info.run_id, runs.DIFF)
    with open(path) as file:
        assert file.read() == "- a\n+ b\n"


def test_a_run_names_its_data_set(store, root, logged):
    model = make_model(root)
    runs.record_run(store, model)
    (data_input,) = all_runs(store)[0].inputs.dataset_inputs
    dataset = data_input.dataset
    assert (dataset.name, dataset.digest) == ("digits", model.receipt["data_sha256"][:32])
    assert json.loads(dataset.source) == {"uri": "data/prepared", "sha256": DATASET["sources_sha256"]}
    assert json.loads(dataset.schema) == {"images": ["uint8", [-1, 28, 28, 1]], "labels": 10}
    assert json.loads(dataset.profile) == DATASET["splits"]
    assert [(tag.key, tag.value) for tag in data_input.tags] == [("mlflow.data.context", "training")]


def test_the_same_content_is_registered_once(store, root, logged):
    first = runs.register_version(store, make_model(root))
    again = runs.register_version(store, make_model(root, folder="again", training="later"))
    assert (again.version, again.run_id, len(all_runs(store)), len(logged)) == (first.version, first.run_id, 1, 1)
    other = runs.register_version(store, make_model(root, "other"))
    assert (int(other.version), len(all_runs(store))) == (2, 2)


@pytest.mark.parametrize("is_terminated", [True, False])
def test_a_run_that_was_cut_short_is_completed_and_not_doubled(store, root, logged, is_terminated):
    model = make_model(root)
    run_id = runs.record_run(store, model)
    if is_terminated:
        store.client.set_terminated(run_id, "FAILED")
    else:
        store.client.delete_logged_model(store.ready_models(run_id)[0].model_id)
    assert runs.record_run(store, model) == run_id
    run = store.client.get_run(run_id)
    assert (run.info.status, run.info.end_time) == ("FINISHED", to_milliseconds("2026-01-02T03:04:02+00:00"))
    assert len(store.client.get_metric_history(run_id, "epoch/loss")) == 2
    assert logged == ([run_id] if is_terminated else [run_id, run_id])


@pytest.mark.parametrize("lost", ["", "models"])
def test_artefacts_that_were_lost_come_back_to_where_the_version_looks_for_them(store, root, logged, lost):
    model = make_model(root)
    version = runs.register_version(store, model)
    folder = root / "mlruns/digits"
    shutil.rmtree(folder / lost)
    assert not runs.has_artifacts(store, version.run_id)
    again = runs.register_version(store, model)
    assert (again.version, again.source, len(logged)) == (version.version, version.source, 1)
    assert runs.has_artifacts(store, version.run_id)
    folder = Path(mlflow.artifacts.download_artifacts("models:/digits/1"))
    assert sha256_of(folder / "artifacts/model.onnx") == version.tags["onnx_sha256"]
    assert json.loads(store.version("1").tags["files_sha256"]) == hash_files(folder)
    assert Model.load(str(folder)).model_id == store.ready_models(version.run_id)[0].model_id
    assert store.client.list_artifacts(version.run_id, "training")
    assert len(store.client.get_metric_history(version.run_id, "epoch/loss")) == 2


@pytest.mark.parametrize("lost", ["training/receipt.json", "report/predictions.csv"])
def test_a_file_that_is_needed_and_was_lost_comes_back(store, root, logged, lost):
    model = make_model(root)
    version = runs.register_version(store, model)
    path = root / "mlruns/digits" / version.run_id / "artifacts" / lost
    before = path.read_bytes()
    path.unlink()
    runs.register_version(store, model)
    assert path.read_bytes() == before


def test_a_versions_run_that_was_deleted_in_mlflow_is_restored(store, root, logged):
    model = make_model(root)
    version = runs.register_version(store, model)
    store.client.delete_run(version.run_id)
    assert not runs.has_artifacts(store, version.run_id)
    runs.register_version(store, model)
    assert runs.has_artifacts(store, version.run_id)
    assert ([run.info.run_id for run in all_runs(store)], logged) == ([version.run_id], [version.run_id])


def test_a_version_whose_run_was_removed_for_good_gets_a_successor(store, root, logged, monkeypatch):
    """`mlflow gc` removes what was deleted in MLflow; then nothing has the version's answers."""
    model = make_model(root)
    version = runs.register_version(store, model)
    store.set_alias("champion", "1")
    store.client.delete_run(version.run_id)
    store.client._tracking_client.store._hard_delete_run(version.run_id)
    again = runs.register_version(store, model)
    assert (int(again.version), len(all_runs(store))) == (2, 1)
    assert promotion.promote(store, [again], Promotion())["2"]["promote"]
    assert store.aliases()["champion"] == "2"


def test_a_versions_run_stays_where_it_is_when_its_experiment_was_renamed(store, root, logged):
    model = make_model(root)
    version = runs.register_version(store, model)
    store.client.rename_experiment(store.experiment_id, "digits-before")
    renamed = connect("digits")
    assert runs.has_artifacts(renamed, version.run_id)
    assert runs.register_version(renamed, model).run_id == version.run_id
    assert (all_runs(renamed), logged) == ([], [version.run_id])


@pytest.mark.parametrize("has_run", [True, False])
def test_of_twins_the_older_version_stays_with_its_run(store, root, logged, has_run):
    model = make_model(root)
    first = runs.register_version(store, model)
    run_id = store.client.create_run(store.experiment_id, tags=model.tags).info.run_id if has_run else first.run_id
    store.client.create_model_version("digits", first.source, run_id, tags=model.tags)
    found = runs.register_version(store, model)
    assert int(found.version) == 1
    assert [int(version.version) for version in store.search_versions()] == [1]
    assert [run.info.run_id for run in all_runs(store)] == [first.run_id]
    assert logged == [first.run_id]


def test_a_twin_with_an_alias_stays_with_its_run(store, root, logged):
    model = make_model(root)
    first = runs.register_version(store, model)
    run_id = store.client.create_run(store.experiment_id, tags=model.tags).info.run_id
    store.client.create_model_version("digits", first.source, run_id, tags=model.tags)
    store.set_alias("mine", "2")
    runs.register_version(store, model)
    assert sorted(int(version.version) for version in store.search_versions()) == [1, 2]
    assert {run.info.run_id for run in all_runs(store)} == {first.run_id, run_id}


def show_live(model: TrainedModel, status: str | None = "FINISHED") -> None:
    """Log the model's training in the store, as the process next to it does; no status means that it was killed."""
    messages = [dict(model.receipt), *model.receipt["epochs"], *([{"status": status}] if status else [])]
    follow(iter(messages))


def test_the_run_that_was_shown_live_is_completed(store, root, logged):
    model = make_model(root)
    show_live(model)
    (live,) = all_runs(store)
    assert (live.info.status, live.info.run_name, live.data.tags["training"]) == (
        "FINISHED", "tiny", model.receipt["training"],
    )  # fmt: skip
    assert live.data.metrics["epoch/loss"] == 0.25
    assert live.data.params["optimizer"] == "Adam"
    assert live.data.tags.keys() >= {"training", "inputs_sha256", "process"}
    store.client.set_tag(live.info.run_id, "made_of", "of an older version")
    run_id = runs.record_run(store, model)
    (run,) = all_runs(store)
    assert run.info.run_id == run_id == live.info.run_id
    assert not runs.LIVE_TAGS & run.data.tags.keys()
    assert len(store.client.get_metric_history(run_id, "epoch/loss")) == 2


def test_a_training_whose_lines_end_without_a_status_was_killed(store, root):
    show_live(make_model(root), status=None)
    assert all_runs(store)[0].info.status == "KILLED"


def test_live_runs_of_the_same_training_that_were_superseded_are_deleted(store, root, logged):
    model = make_model(root)
    show_live(make_model(root, folder="earlier", training="earlier"))
    show_live(make_model(root, folder="failed", training="failed"), status="FAILED")
    show_live(make_model(root, folder="other", training="other", seed=8))
    show_live(model)
    run_id = runs.record_run(store, model)
    left = {run.data.tags.get("training") for run in all_runs(store) if run.info.run_id != run_id}
    assert left == {"failed", "other"}


@pytest.mark.parametrize("status", ["KILLED", "RUNNING"])
def test_a_live_run_whose_follower_was_killed_is_deleted_if_its_content_has_a_run(store, root, logged, status):
    """A training that finishes kills its follower after five seconds, if the store is slow."""
    run_id = runs.record_run(store, make_model(root))
    again = make_model(root, folder="again", training="again")
    show_live(again)
    (live,) = [run for run in all_runs(store) if run.info.run_id != run_id]
    store.client.update_run(live.info.run_id, status)
    assert runs.record_run(store, again) == run_id
    assert [run.info.run_id for run in all_runs(store)] == [run_id]


def test_a_registered_run_is_never_superseded(store, root, logged):
    model = make_model(root)
    run_id = runs.record_run(store, model)
    store.client.set_tag(run_id, "inputs_sha256", runs.hash_inputs(model.receipt))
    runs.delete_superseded(store, model.receipt)
    assert [run.info.run_id for run in all_runs(store)] == [run_id]


def test_the_gate_gets_the_answers_on_validation_images_and_the_size(store, root, logged):
    model = make_model(root)
    version = runs.register_version(store, model)
    found = promotion.load_candidate(version, Promotion())
    assert (found.image.tolist(), found.label.tolist(), found.answer.tolist()) == ([7, 8], ["1", "2"], ["1", "3"])
    assert (found.size_bytes, found.latencies_ms) == ((model.folder / "model.onnx").stat().st_size, None)


def test_the_gate_gets_the_latency_of_the_registered_file_if_it_is_limited(store, root, logged, monkeypatch):
    model = make_model(root)
    version = runs.register_version(store, model)
    artifacts = root / "registered/artifacts"
    artifacts.mkdir(parents=True)
    (artifacts / "model.onnx").write_bytes(model.artifacts["onnx"].read_bytes())
    from mlflow import artifacts as mlflow_artifacts

    download = mlflow_artifacts.download_artifacts

    def download_artifacts(uri: str | None = None, **where: str) -> str:
        return str(root / "registered") if uri == "models:/digits/1" else download(uri, **where)

    monkeypatch.setattr(mlflow_artifacts, "download_artifacts", download_artifacts)
    monkeypatch.setattr(promotion, "measure_latencies_ms", lambda path: {artifacts / "model.onnx": (1.5, 2.0)}[path])
    assert promotion.load_candidate(version, Promotion(max_latency_ms=2.0)).latencies_ms == (1.5, 2.0)


def test_the_served_model_is_logged_with_its_files_its_shapes_and_its_packages(monkeypatch, root):
    import mlflow.pyfunc

    given = {}
    monkeypatch.setattr(mlflow.pyfunc, "log_model", lambda **arguments: given.update(arguments))
    monkeypatch.setattr(mlflow, "start_run", lambda run_id: given.update(run_id=run_id) or nullcontext())
    model = make_model(root)
    runs.log_model("some", model)
    signature = given.pop("signature")
    assert given.pop("input_example").shape == (1, 28, 28)
    assert given == {
        "run_id": "some",
        "name": "model",
        "python_model": "serving/model.py",
        "artifacts": {name: str(path) for name, path in model.artifacts.items()},
        "pip_requirements": trained_model.pin_serving_packages(),
        "metadata": model.metadata,
    }
    (pixels,) = signature.inputs.inputs
    assert (str(pixels.type), pixels.shape) == ("float32", (-1, 28, 28))
    assert [(column.name, str(column)) for column in signature.outputs.inputs] == [
        ("label", "'label': string (required)"),
        ("confidence", "'confidence': double (required)"),
        ("probabilities", "'probabilities': Array(double) (required)"),
    ]


def test_the_runs_of_killed_processes_are_closed_by_the_next_training(store, root, monkeypatch):
    left = store.client.create_run(store.experiment_id).info.run_id
    closed = []
    monkeypatch.setattr("pipeline.tracking.follow.close_dead_runs", lambda store: closed.append(len(all_runs(store))))
    show_live(make_model(root))
    assert closed == [1]  # before the run of the training itself is created
    assert left in {run.info.run_id for run in all_runs(store)}


def test_a_follower_that_fails_says_so_in_one_line(monkeypatch):
    from pipeline.tracking import follow as module

    def fail(messages) -> None:
        assert [message["model"] for message in messages] == ["tiny"]
        raise OSError("first\nsecond")

    monkeypatch.setattr(module, "follow", fail)
    monkeypatch.setattr("sys.stdin", ['{"model": "tiny"}\n', '{"epoch": 1, "metr'])  # the end of a killed training
    with pytest.raises(SystemExit) as ended:
        module.main("0")
    assert ended.value.code == "warning: epochs aren't shown live (first); `register` completes the run"


def test_a_live_run_names_its_process(store, root):
    show_live(make_model(root))
    assert all_runs(store)[0].data.tags["process"] == identify_process()
