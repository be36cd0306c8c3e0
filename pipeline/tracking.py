"""MLflow as the pipeline uses it: one store, and one run for each trained and evaluated content."""

import json
import logging
import os
import socket
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock

from pipeline.content import SERVING_CODE, Content, serving_requirements
from pipeline.stage import Problem

RECEIPT = "training/receipt.json"
DIFF = "training/uncommitted.diff"  # of a run whose code was not as committed
MADE_OF = ("model", "dataset", "data_sha256", "seed", "repeats", "parameters")
LIVE_TAGS = {"training", "made_of", "process"}  # what tells one live run from another until `register` completes it
KEPT_FILES = ("model.keras", "history.csv", "receipt.json")  # the others are the registered model's


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
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    mlflow.set_tracking_uri(uri())
    try:
        client = mlflow.MlflowClient()
        # One at a time: two first uses of a database would both try to make its tables.
        with FileLock(root() / "mlflow.db.lock"):
            return client, experiment_id(client, experiment)
    except (MlflowException, SQLAlchemyError, ImportError) as error:
        reason = str(error).splitlines()[0][:300]
        raise Problem(
            f"MLflow's store {uri()} can't be used: {reason}. Training has lost nothing: mend or start the store, or "
            "unset MLFLOW_TRACKING_URI to use the file beside the project, and run the command again"
        ) from None


def experiment_id(client, experiment: str) -> str:
    """The id of the experiment, which is made if it is missing."""
    if found := client.get_experiment_by_name(experiment):
        if found.lifecycle_stage == "deleted":
            restore = f"mlflow experiments restore --experiment-id {found.experiment_id}"
            raise Problem(f"MLflow's experiment {experiment} is deleted: `{restore}` brings it back")
        return found.experiment_id
    # A server knows where its artefacts belong; beside a database file we say it, or they land where we stand.
    remote = uri().startswith(("http://", "https://", "databricks"))
    location = None if remote else (root() / "mlruns" / experiment).as_uri()
    return client.create_experiment(experiment, artifact_location=location)


def upsert(client, experiment_id: str, registered: str, content: Content):
    """The registered version of this content, with its finished run; what is missing of either is made.

    All that is logged carries the receipt's own times, so a run that was cut short is completed, not doubled.
    """
    import mlflow

    found = client.search_runs([experiment_id], f"tags.content_key = '{content.key}'", max_results=1)
    live = client.search_runs([experiment_id], f"tags.training = '{content.receipt['training']}'", max_results=1)
    runs = found or live
    if not runs:
        start = milliseconds(content.receipt["started"])
        runs = [client.create_run(experiment_id, start, content.tags(), content.name)]
    run_id = runs[0].info.run_id
    if not found or found[0].info.status != "FINISHED" or not logged_model(client, experiment_id, run_id):
        complete_run(client, experiment_id, run_id, content)
    delete_superseded(client, experiment_id, content.receipt)
    versions = client.search_model_versions(f"name = '{registered}' AND tags.content_key = '{content.key}'")
    if versions:
        return versions[0]
    source = logged_model(client, experiment_id, run_id).model_uri
    return mlflow.register_model(source, registered, tags=content.tags())


def complete_run(client, experiment_id: str, run_id: str, content: Content) -> None:
    """Log everything that the content says of itself, and finish the run at the time at which training did."""
    from mlflow.entities import RunTag

    receipt = content.receipt
    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in content.tags().items()])
    log_numbers(client, run_id, settings(receipt), receipt_points(receipt, content.metrics))
    client.log_inputs(run_id, [dataset_input(content.dataset, receipt["data_sha256"])])
    client.log_artifacts(run_id, str(content.report), "report")
    for file in KEPT_FILES:
        client.log_artifact(run_id, str(content.model / file), "training")
    if diff := receipt["git"].get("diff"):
        client.log_text(run_id, diff, DIFF)
    if not logged_model(client, experiment_id, run_id):
        log_model(run_id, content)
    for tag in LIVE_TAGS & client.get_run(run_id).data.tags.keys():
        client.delete_tag(run_id, tag)  # a run is the same, whether or not it was shown live
    client.set_terminated(run_id, "FINISHED", milliseconds(receipt["epochs"][-1]["finished"]))


def delete_superseded(client, experiment_id: str, receipt: dict) -> None:
    """Delete the live runs of finished trainings of the very same, whose files a later one has replaced.

    They never became a content, and can't any more. Killed and failed runs stay: they tell what happened.
    """
    of_the_same = f"tags.made_of = '{fingerprint(receipt)}' AND attributes.status = 'FINISHED'"
    for run in client.search_runs([experiment_id], of_the_same):
        if "content_key" not in run.data.tags:
            client.delete_run(run.info.run_id)


def fingerprint(made_of: dict) -> str:
    """The sha256 of what a training starts from, the code aside; of its receipt too, which begins with the same."""
    return sha256(json.dumps({key: made_of[key] for key in MADE_OF}, sort_keys=True).encode()).hexdigest()


def settings(made_of: dict) -> dict[str, Any]:
    """A run's parameters: data set, seed, number of seeds and the model's block, flat."""
    return flatten({key: made_of[key] for key in ("dataset", "seed", "repeats")} | made_of["parameters"])


def epoch_points(epoch: dict) -> list:
    """An epoch's metrics as epoch/…, and the machine's under MLflow's names for them, at the epoch's own time."""
    from mlflow.entities import Metric

    moment = milliseconds(epoch["finished"])
    values = {f"epoch/{name}": value for name, value in {**epoch["metrics"], "seconds": epoch["seconds"]}.items()}
    values |= {f"system/{name}": value for name, value in epoch["system"].items()}
    return [Metric(name, value, moment, epoch["epoch"]) for name, value in values.items()]


def receipt_points(receipt: dict, metrics: dict) -> list:
    """All metrics of a run: each epoch's, and the published file's under their own names."""
    from mlflow.entities import Metric

    points = [point for epoch in receipt["epochs"] for point in epoch_points(epoch)]
    ended = milliseconds(receipt["epochs"][-1]["finished"])
    return points + [Metric(metric, value, ended, 0) for metric, value in metrics.items()]


def log_numbers(client, run_id: str, params: dict[str, Any], points: list) -> None:
    """Log parameters and metrics in as few calls as MLflow allows: 100 parameters, 1,000 metrics at once."""
    from mlflow.entities import Param

    entries = [Param(key, str(value)) for key, value in params.items()]
    for start in range(0, len(entries), 100):
        client.log_batch(run_id, params=entries[start : start + 100])
    for start in range(0, len(points), 1000):
        client.log_batch(run_id, metrics=points[start : start + 1000])


def close_dead_runs(client, experiment_id: str) -> None:
    """End, as KILLED, the runs that a training on this machine left RUNNING when it was killed."""
    for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'"):
        host, _, process = run.data.tags.get("process", "").partition(" ")
        if host == socket.gethostname() and not is_alive(process):
            client.set_terminated(run.info.run_id, "KILLED")


def this_process() -> str:
    """Host, process id and start time: tells this process from a later one with the same id."""
    return f"{socket.gethostname()} {os.getpid()}@{psutil.Process().create_time()}"


def is_alive(process: str) -> bool:
    """Whether the process `id@start` still runs on this machine."""
    number, _, started = process.partition("@")
    try:
        return str(psutil.Process(int(number)).create_time()) == started
    except psutil.NoSuchProcess:
        return False


def logged_model(client, experiment_id: str, run_id: str):
    """The complete model that the run has logged, or None."""
    found = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
    return next((model for model in found if model.status == "READY"), None)


def log_model(run_id: str, content: Content) -> None:
    """Log the content's files and the serving code as the model that `mlflow models serve` serves."""
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
            artifacts={name: str(path) for name, path in content.artifacts.items()},
            signature=ModelSignature(inputs=Schema([pixels]), outputs=Schema(answer)),
            input_example=np.zeros((1, 28, 28), np.float32),
            pip_requirements=serving_requirements(),
            metadata=content.metadata(),
        )


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
