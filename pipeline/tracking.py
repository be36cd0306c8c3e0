"""MLflow as the pipeline uses it: one store, and one run for each trained and evaluated content."""

import json
import logging
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

SERVING_CODE = Path("serving/model.py")
SERVING_PACKAGES = ("mlflow", "numpy", "onnxruntime")
LOCK = Path("requirements.lock")
KEPT_FILES = ("model.keras", "model.tflite", "history.csv", "receipt.json")


def root() -> Path:
    """The project's root; inside DVC's temporary workspaces (`dvc exp run --temp`) still the real one."""
    return Path(os.environ.get("DVC_ROOT") or Path(__file__).parent.parent).resolve()


def uri() -> str:
    """MLFLOW_TRACKING_URI, else one SQLite file at the project's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root() / 'mlflow.db'}"


def connect(experiment: str):
    """An MlflowClient of the store, and the experiment's id; store and experiment are made if they are missing."""
    # Without these, MLflow asks a server that is down for four minutes, and reports its use to its makers.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    mlflow.set_tracking_uri(uri())
    client = mlflow.MlflowClient()
    if found := client.get_experiment_by_name(experiment):
        return client, found.experiment_id
    # A server knows where its artefacts belong; beside a database file we say it, or they land where we stand.
    remote = uri().startswith(("http://", "https://", "databricks"))
    location = None if remote else (root() / "mlruns" / experiment).as_uri()
    return client, client.create_experiment(experiment, artifact_location=location)


def upsert_run(client, experiment_id: str, tags: dict[str, str], receipt: dict, metrics: dict, dataset: dict) -> str:
    """The id of the finished run with these tags' content key; it is made if it is missing.

    All that is logged carries the receipt's own times, so a run that was cut short is completed, not doubled.
    """
    found = client.search_runs([experiment_id], f"tags.content_key = '{tags['content_key']}'", max_results=1)
    if found and found[0].info.status == "FINISHED":
        return found[0].info.run_id
    name, started = receipt["model"], milliseconds(receipt["started"])
    run = found[0] if found else client.create_run(experiment_id, started, tags, name)
    run_id = run.info.run_id
    log_numbers(client, run_id, receipt, metrics)
    client.log_inputs(run_id, [dataset_input(dataset, receipt["data_sha256"])])
    client.log_artifacts(run_id, str(Path("reports") / name), "report")
    for file in KEPT_FILES:
        client.log_artifact(run_id, str(Path("models") / name / file), "training")
    if not logged_model(client, experiment_id, run_id):
        log_model(run_id, name)
    client.set_terminated(run_id, "FINISHED", milliseconds(receipt["epochs"][-1]["finished"]))
    return run_id


def log_numbers(client, run_id: str, receipt: dict, metrics: dict) -> None:
    """Log all parameters, each epoch's metrics as epoch/…, and the published file's metrics under their own names."""
    from mlflow.entities import Metric, Param

    points = [
        Metric(f"epoch/{metric}", value, milliseconds(epoch["finished"]), epoch["epoch"])
        for epoch in receipt["epochs"]
        for metric, value in {**epoch["metrics"], "seconds": epoch["seconds"]}.items()
    ]
    ended = milliseconds(receipt["epochs"][-1]["finished"])
    points += [Metric(metric, value, ended, 0) for metric, value in metrics.items()]
    settings = flatten({"dataset": receipt["dataset"], "seed": receipt["seed"], **receipt["parameters"]})
    params = [Param(key, str(value)) for key, value in settings.items()]
    # MLflow takes at most 1,000 metrics and 100 parameters at once.
    for start in range(0, len(points), 1000):
        client.log_batch(run_id, metrics=points[start : start + 1000])
    for start in range(0, len(params), 100):
        client.log_batch(run_id, params=params[start : start + 100])


def logged_model(client, experiment_id: str, run_id: str):
    """The complete model that the run has logged, or None."""
    found = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
    return next((model for model in found if model.status == "READY"), None)


def log_model(run_id: str, name: str) -> None:
    """Log models/<name>/model.onnx and the serving code, as the model that `mlflow models serve` serves."""
    import mlflow
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import Array

    probabilities = ColSpec(Array(DataType.double), "probabilities")
    answer = [ColSpec(DataType.long, "digit"), ColSpec(DataType.double, "confidence"), probabilities]
    pixels = TensorSpec(np.dtype(np.float32), (-1, 28, 28))
    with mlflow.start_run(run_id=run_id):
        mlflow.pyfunc.log_model(
            name="model",
            python_model=str(SERVING_CODE),
            artifacts={"onnx": str(Path("models") / name / "model.onnx")},
            signature=ModelSignature(inputs=Schema([pixels]), outputs=Schema(answer)),
            input_example=np.zeros((1, 28, 28), np.float32),
            pip_requirements=serving_requirements(),
        )


def serving_requirements() -> list[str]:
    """What the served model needs, pinned as in requirements.lock for this Python: no TensorFlow."""
    lines = (line.removesuffix("\\").strip() for line in LOCK.read_text().splitlines() if line[:1].isalnum())
    locked = [Requirement(line) for line in lines]
    pinned = {r.name: f"{r.name}{r.specifier}" for r in locked if r.marker is None or r.marker.evaluate()}
    return [pinned[name] for name in SERVING_PACKAGES]


def dataset_input(dataset: dict, sha256: str):
    """data/prepared/dataset.json as an MLflow data set; its digest begins the sha256 that the receipt records."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    entry = Dataset(
        name=dataset["name"],
        digest=sha256[:32],
        source_type="local",
        source=json.dumps({"uri": "data/prepared", "sha256": dataset["sources_sha256"]}),
        schema=json.dumps({"images": ["float32", [-1, *dataset["image_shape"]]], "labels": dataset["classes"]}),
        profile=json.dumps(dataset["splits"]),
    )
    return DatasetInput(entry, [InputTag("mlflow.data.context", "training")])


def flatten(block: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"dense": [{"units": 10}]} to {"dense.0.units": 10}; None is left out; Keras' objects are shown by name."""
    flat: dict[str, Any] = {}
    for key, value in block.items():
        if isinstance(value, list):
            value = dict(enumerate(value))
        if isinstance(value, Mapping) and "arguments" in value:
            flat[f"{prefix}{key}"] = value["name"]
            value = value["arguments"]
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        elif value is not None:
            flat[f"{prefix}{key}"] = value
    return flat


def milliseconds(moment: str) -> int:
    """An ISO 8601 time as MLflow counts: milliseconds since 1970."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)
