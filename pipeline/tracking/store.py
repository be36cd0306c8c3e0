"""MLflow's store as the pipeline uses it: where it is, and one data set's part of it."""

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filelock import FileLock

from pipeline.cli import UserError, first_line
from pipeline.paths import project_root

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class Store:
    """One data set's part of MLflow: the experiment and the registered model that bear its name."""

    client: "MlflowClient"
    experiment_id: str
    name: str

    def search_runs(self, condition: str, limit: int = 1000) -> "list[Run]":
        """Return the experiment's runs that match a condition in MLflow's filter language, newest first."""
        return list(self.client.search_runs([self.experiment_id], condition, max_results=limit))

    def find_run(self, condition: str) -> "Run | None":
        """Return the newest run that matches the condition."""
        return next(iter(self.search_runs(condition, limit=1)), None)

    def ready_models(self, run_id: str) -> "list[LoggedModel]":
        """Return the models that a run has logged completely."""
        found = self.client.search_logged_models([self.experiment_id], f"source_run_id = '{run_id}'")
        return [model for model in found if model.status == "READY"]

    def search_versions(self, condition: str = "") -> "list[ModelVersion]":
        """Return the versions of the registered model, all or those that match the condition."""
        mine = f"name = '{self.name}'"
        return list(self.client.search_model_versions(f"{mine} AND {condition}" if condition else mine))

    def version(self, number: str) -> "ModelVersion":
        return self.client.get_model_version(self.name, number)

    def aliases(self) -> dict[str, str]:
        """Return the version by alias; as text, because MLflow's stores differ in whether a version is a number."""
        aliases = self.client.get_registered_model(self.name).aliases
        return {alias: str(number) for alias, number in aliases.items()}

    def set_alias(self, alias: str, number: str) -> None:
        """Give the alias to a version; it leaves the one that had it."""
        self.client.set_registered_model_alias(self.name, alias, number)

    def tag_version(self, number: str, key: str, value: str) -> None:
        """Set one tag of a version."""
        self.client.set_model_version_tag(self.name, number, key, value)


def connect(name: str) -> Store:
    """Return the store of one data set; make database and experiment if they are missing.

    Raise UserError if the store can't be used.
    """
    # Without these, MLflow asks a server that is down for four minutes, and reports its use to its makers.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    mlflow.set_tracking_uri(store_uri())
    try:
        client = mlflow.MlflowClient()
        # One at a time: two first uses of a database would both try to make its tables.
        with FileLock(project_root() / "mlflow.db.lock"):
            return Store(client, open_experiment(client, name), name)
    except (MlflowException, SQLAlchemyError, ImportError) as error:
        raise store_error(error) from None


def store_uri() -> str:
    """Return MLFLOW_TRACKING_URI, else one SQLite file at the project's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project_root() / 'mlflow.db'}"


def open_experiment(client: "MlflowClient", name: str) -> str:
    """Return the experiment's id; make the experiment if it is missing; raise UserError if it is deleted."""
    if found := client.get_experiment_by_name(name):
        if found.lifecycle_stage == "deleted":
            raise UserError(
                f"MLflow's experiment {name} is deleted: `mlflow experiments restore --experiment-id "
                f"{found.experiment_id}` brings it back"
            )
        return str(found.experiment_id)
    # A server knows where its artefacts belong; beside a database file we name the folder, or MLflow would take the
    # current one.
    is_remote = store_uri().startswith(("http://", "https://", "databricks"))
    location = None if is_remote else (project_root() / "mlruns" / name).as_uri()
    return str(client.create_experiment(name, artifact_location=location))


def lock_registry() -> FileLock:
    """Return the lock to hold while registering, promoting or rolling back; read the state again inside it."""
    return FileLock(project_root() / "mlflow.db.register.lock")


def store_error(error: Exception) -> UserError:
    """Return the error for a store that is down, refuses, or isn't one."""
    return UserError(
        f"MLflow's store {store_uri()} can't be used: {first_line(error)}. No training is lost: fix or start the "
        "store, or unset MLFLOW_TRACKING_URI to use the file beside the project, and run the command again"
    )
