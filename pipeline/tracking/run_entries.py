"""What a run in MLflow records of a training: parameters, metrics, and the hash of its inputs."""

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pipeline.config.flatten import flatten

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

INPUTS = ("model", "dataset", "data_sha256", "seed", "seeds_per_model", "parameters")


def hash_inputs(inputs: Mapping[str, Any]) -> str:
    """Return the sha256 of a training's inputs without its code; a receipt begins with the same entries."""
    return sha256(json.dumps({key: inputs[key] for key in INPUTS}, sort_keys=True).encode()).hexdigest()


def run_params(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's parameters: data set, seed, number of seeds and the model's section, flat."""
    return flatten({key: inputs[key] for key in ("dataset", "seed", "seeds_per_model")} | inputs["parameters"])


def epoch_points(epoch: Mapping[str, Any]) -> "list[Metric]":
    """Return an epoch's metrics as epoch/…, and the machine's under MLflow's own names, at the epoch's own time."""
    from mlflow.entities import Metric

    finished = to_milliseconds(epoch["finished"])
    values = {f"epoch/{name}": value for name, value in {**epoch["metrics"], "seconds": epoch["seconds"]}.items()}
    values |= {f"system/{name}": value for name, value in epoch["system"].items()}
    return [Metric(name, value, finished, epoch["epoch"]) for name, value in values.items()]


def receipt_points(receipt: Mapping[str, Any], metrics: Mapping[str, float]) -> "list[Metric]":
    """Return all metrics of a run: each epoch's, and the published file's under their own names."""
    from mlflow.entities import Metric

    points = [point for epoch in receipt["epochs"] for point in epoch_points(epoch)]
    ended = to_milliseconds(receipt["epochs"][-1]["finished"])
    return points + [Metric(name, value, ended, 0) for name, value in metrics.items()]


def log_entries(client: "MlflowClient", run_id: str, params: Mapping[str, Any], points: "list[Metric]") -> None:
    """Log parameters and metrics in as few calls as MLflow allows: 100 parameters, 1,000 metrics at once."""
    from mlflow.entities import Param

    entries = [Param(key, str(value)) for key, value in params.items()]
    for start in range(0, len(entries), 100):
        client.log_batch(run_id, params=entries[start : start + 100])
    for start in range(0, len(points), 1000):
        client.log_batch(run_id, metrics=points[start : start + 1000])


def to_milliseconds(moment: str | datetime) -> int:
    """Return a time, as an object or in ISO 8601, as MLflow counts: milliseconds since 1970."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return round(moment.timestamp() * 1000)
