"""One finished run and one registered version in MLflow for each trained and evaluated model."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pipeline.paths import SERVING_CODE
from pipeline.tracking.run_entries import hash_inputs, log_entries, receipt_points, run_params, to_milliseconds
from pipeline.tracking.store import Store
from pipeline.tracking.trained_model import TrainedModel, pin_serving_packages
from serving.verification import ALL_HASHES, hash_files

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

RECEIPT = "training/receipt.json"
ANSWERS = "report/predictions.csv"  # by which the gate decides
DIFF = "training/uncommitted.diff"  # of a run with uncommitted changes in the code
# Tags that identify a live run until `register` completes it; older versions called inputs_sha256 made_of.
LIVE_TAGS = {"training", "inputs_sha256", "made_of", "process"}
KEPT_FILES = ("model.keras", "history.csv", "receipt.json")  # the registered model has the other files


def register_version(store: Store, model: TrainedModel) -> "ModelVersion":
    """Return the registered version of this content; record its run and register it if they are missing."""
    import mlflow

    run_id = record_run(store, model)
    found = find_versions(store, model)
    if not found:
        uri = store.ready_models(run_id)[0].model_uri
        store.require_lock()
        made = mlflow.register_model(uri, store.name, tags=model.tags | {ALL_HASHES: hash_logged(uri)})
        found = find_versions(store, model) or [made]
    remove_twins(store, model)
    return found[0]


def remove_twins(store: Store, model: TrainedModel) -> None:
    """Delete a second run or version of this content, unless it has an alias.

    A server makes a second one if a request reaches it twice, or after the command that sent it was killed.
    """
    found, aliased = find_versions(store, model), store.aliases().values()
    kept = [version for version in found if version is found[0] or str(version.version) in aliased]
    for twin in found:
        if twin not in kept:
            store.client.delete_model_version(store.name, str(twin.version))
    for run in store.search_runs(f"tags.content_key = '{model.key}'"):
        if kept and run.info.run_id not in {version.run_id for version in kept}:
            store.client.delete_run(run.info.run_id)


def find_versions(store: Store, model: TrainedModel) -> "list[ModelVersion]":
    """Return the versions of this content, oldest first: only one if there are no twins.

    A version whose run `mlflow gc` has removed is left out: another one is registered, and takes its place.
    """
    found = store.search_versions(f"tags.content_key = '{model.key}'")
    return sorted((one for one in found if store.run(str(one.run_id))), key=lambda version: int(version.version))


def hash_logged(uri: str) -> str:
    """Return the sha256 of each file of a logged model, as JSON; a server compares them before it serves the model."""
    from mlflow.artifacts import download_artifacts

    with TemporaryDirectory() as scratch:
        return json.dumps(hash_files(Path(download_artifacts(uri, dst_path=scratch))))


def record_run(store: Store, model: TrainedModel) -> str:
    """Return the id of the finished run of this content: one recorded before, a live run, or a new run.

    All entries have the receipt's own times, so a run that was cut short is completed without double entries. A run
    that has lost its artefacts is completed, too. The run of a registered version is restored if a person has deleted
    it in MLflow: the version needs it.
    """
    if found := find_versions(store, model):
        recorded: Run | None = store.client.get_run(str(found[0].run_id))
        assert recorded
        if recorded.info.lifecycle_stage == "deleted":
            store.client.restore_run(recorded.info.run_id)
    else:
        recorded = store.find_run(f"tags.content_key = '{model.key}'")
    run = recorded or store.find_run(f"tags.training = '{model.receipt['training']}'")
    if run is None:
        start = to_milliseconds(model.receipt["started"])
        run = store.client.create_run(store.experiment_id, start, model.tags, model.name)
    run_id = str(run.info.run_id)
    if recorded is None or recorded.info.status != "FINISHED" or not has_artifacts(store, run_id):
        complete_run(store, run_id, model)
    delete_superseded(store, model.receipt)
    return run_id


def has_artifacts(store: Store, run_id: str) -> bool:
    """Return whether the run isn't deleted, and the artefact store still has its files and those of its model."""
    if store.client.get_run(run_id).info.lifecycle_stage == "deleted":
        return False
    models = store.ready_models(run_id)
    found = {file.path for path in ("training", "report") for file in store.client.list_artifacts(run_id, path)}
    return bool(models) and has_files(models[0]) and {RECEIPT, ANSWERS} <= found


def has_files(model: "LoggedModel") -> bool:
    """Return whether the artefact store has the files of a logged model."""
    from mlflow.artifacts import list_artifacts

    return any(Path(file.path).name == "MLmodel" for file in list_artifacts(model.artifact_location))


def complete_run(store: Store, run_id: str, model: TrainedModel) -> None:
    """Log everything that is known of the model, and finish the run at the time at which training did."""
    from mlflow.entities import RunTag

    client, receipt = store.client, model.receipt
    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in model.tags.items()])
    log_entries(client, run_id, run_params(receipt), receipt_points(receipt, model.metrics))
    client.log_inputs(run_id, [dataset_input(model.dataset, receipt["data_sha256"])])
    client.log_artifacts(run_id, str(model.report), "report")
    for file in KEPT_FILES:
        client.log_artifact(run_id, str(model.folder / file), "training")
    if diff := receipt["git"].get("diff"):
        client.log_text(run_id, diff, DIFF)
    models = store.ready_models(run_id)
    if not models:
        log_model(run_id, model)
    elif not has_files(models[0]):
        restore_model(store, models[0], model)
    for tag in LIVE_TAGS & client.get_run(run_id).data.tags.keys():
        client.delete_tag(run_id, tag)  # a run is the same, whether or not it was shown live
    client.set_terminated(run_id, "FINISHED", to_milliseconds(receipt["epochs"][-1]["finished"]))


def delete_superseded(store: Store, receipt: dict[str, Any]) -> None:
    """Delete the live runs of trainings like this one that finished, and whose content another run has.

    Killed and failed runs stay, because they show what happened; but not a live run of this very training: its receipt
    proves that it finished, even if the process that showed it was killed because the store was slow.
    """
    finished = f"tags.inputs_sha256 = '{hash_inputs(receipt)}' AND attributes.status = 'FINISHED'"
    this_training = f"tags.training = '{receipt['training']}'"
    found = [*store.search_runs(finished), *store.search_runs(this_training)]
    for run_id in {run.info.run_id for run in found if "content_key" not in run.data.tags}:
        store.client.delete_run(run_id)


def log_model(run_id: str, model: TrainedModel) -> None:
    """Log the model's files and the serving code as the model that `mlflow models serve` serves."""
    import mlflow

    with mlflow.start_run(run_id=run_id):
        mlflow.pyfunc.log_model(name="model", **describe_served(model))


def restore_model(store: Store, logged: "LoggedModel", model: TrainedModel) -> None:
    """Write the lost files of a logged model again, to the same place, because its registered version refers to it."""
    import mlflow
    from mlflow.models import Model

    description = Model(logged.artifact_location, logged.source_run_id, model_uuid=logged.model_id)
    description.model_id = logged.model_id
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        mlflow.pyfunc.save_model(folder, mlflow_model=description, **describe_served(model))
        for compiled in folder.rglob("__pycache__"):
            shutil.rmtree(compiled)
        # Tag before logging the files: if this is killed in between, the next call restores hashes and files again.
        for version in find_versions(store, model):
            store.tag_version(str(version.version), ALL_HASHES, json.dumps(hash_files(folder)))
        store.client.log_model_artifacts(logged.model_id, str(folder))


def describe_served(model: TrainedModel) -> dict[str, Any]:
    """Return the arguments with which MLflow logs a model: code, files, shapes, packages and metadata."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import Array

    probabilities = ColSpec(Array(DataType.double), "probabilities")
    answer = Schema([ColSpec(DataType.string, "label"), ColSpec(DataType.double, "confidence"), probabilities])
    shape = model.input_shape
    pixels = Schema([TensorSpec(np.dtype(np.float32), (-1, *shape))])
    return {
        "python_model": str(SERVING_CODE),
        "artifacts": {name: str(path) for name, path in model.artifacts.items()},
        "signature": ModelSignature(inputs=pixels, outputs=answer),
        "input_example": np.zeros((1, *shape), np.float32),
        "pip_requirements": pin_serving_packages(),
        "metadata": model.metadata,
    }


def dataset_input(dataset: dict[str, Any], sha256: str) -> "DatasetInput":
    """Return dataset.json as an MLflow data set; its digest is the first half of the receipt's `data_sha256`."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    entry = Dataset(
        name=dataset["name"],
        digest=sha256[:32],
        source_type="local",
        source=json.dumps({"uri": "data/prepared", "sha256": dataset["sources_sha256"]}),
        schema=json.dumps({"images": ["uint8", [-1, *dataset["image_shape"]]], "labels": dataset["classes"]}),
        profile=json.dumps(dataset["splits"]),
    )
    return DatasetInput(entry, [InputTag("mlflow.data.context", "training")])
