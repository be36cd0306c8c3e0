"""MLflow's store as the pipeline uses it: where it is, and what every run in it has in common."""

import json
import logging
import os
import socket
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock

from pipeline.cli import UserError
from pipeline.config.flatten import flatten

RECEIPT = "training/receipt.json"
DIFF = "training/uncommitted.diff"  # of a run whose code was not as committed
MADE_OF = ("model", "dataset", "data_sha256", "seed", "seeds_per_model", "parameters")


def root() -> Path:
    """The project's root; inside DVC's temporary workspaces (`dvc exp run --temp`) still the real one."""
    return Path(os.environ.get("DVC_ROOT") or Path(__file__).parent.parent.parent).resolve()


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
        raise UserError(
            f"MLflow's store {uri()} can't be used: {reason}. Training has lost nothing: mend or start the store, or "
            "unset MLFLOW_TRACKING_URI to use the file beside the project, and run the command again"
        ) from None


def experiment_id(client, experiment: str) -> str:
    """The id of the experiment, which is made if it is missing."""
    if found := client.get_experiment_by_name(experiment):
        if found.lifecycle_stage == "deleted":
            restore = f"mlflow experiments restore --experiment-id {found.experiment_id}"
            raise UserError(f"MLflow's experiment {experiment} is deleted: `{restore}` brings it back")
        return found.experiment_id
    # A server knows where its artefacts belong; beside a database file we say it, or they land where we stand.
    remote = uri().startswith(("http://", "https://", "databricks"))
    location = None if remote else (root() / "mlruns" / experiment).as_uri()
    return client.create_experiment(experiment, artifact_location=location)


def fingerprint(made_of: dict) -> str:
    """The sha256 of what a training starts from, the code aside; of its receipt too, which begins with the same."""
    return sha256(json.dumps({key: made_of[key] for key in MADE_OF}, sort_keys=True).encode()).hexdigest()


def settings(made_of: dict) -> dict[str, Any]:
    """A run's parameters: data set, seed, number of seeds and the model's block, flat."""
    return flatten({key: made_of[key] for key in ("dataset", "seed", "seeds_per_model")} | made_of["parameters"])


def epoch_points(epoch: dict) -> list:
    """An epoch's metrics as epoch/…, and the machine's under MLflow's names for them, at the epoch's own time."""
    from mlflow.entities import Metric

    moment = milliseconds(epoch["finished"])
    values = {f"epoch/{name}": value for name, value in {**epoch["metrics"], "seconds": epoch["seconds"]}.items()}
    values |= {f"system/{name}": value for name, value in epoch["system"].items()}
    return [Metric(name, value, moment, epoch["epoch"]) for name, value in values.items()]


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


def milliseconds(moment: str) -> int:
    """An ISO 8601 time as MLflow counts: milliseconds since 1970."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)
