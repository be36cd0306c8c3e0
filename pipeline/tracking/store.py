"""MLflow's store as the pipeline uses it: where it is, and one data set's part of it."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.cli import UserError, first_line
from pipeline.tracking.experiment import open_experiment
from pipeline.tracking.location import SQLITE, artifact_folder, lock_store, require_usable, store_file, store_uri
from serving.environment import without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel


@dataclass(frozen=True)
class Store:
    """One data set's part of MLflow: the experiment and the registered model that bear its name."""

    client: "MlflowClient"
    experiment_id: str
    name: str
    # Called before each write to the registry: raises UserError if the lock on it was lost.
    require_lock: Callable[[], None] = lambda: None

    def search_runs(self, condition: str, limit: int = 1000) -> "list[Run]":
        """Return the experiment's runs that match a condition in MLflow's filter language, newest first."""
        return list(self.client.search_runs([self.experiment_id], condition, max_results=limit))

    def find_run(self, condition: str) -> "Run | None":
        """Return the newest run that matches the condition."""
        return next(iter(self.search_runs(condition, limit=1)), None)

    def run(self, run_id: str) -> "Run | None":
        """Return a run, also one that is deleted; None if `mlflow gc` has removed it for good."""
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def ready_models(self, run_id: str) -> "list[LoggedModel]":
        """Return the models that a run has logged completely, also if its experiment was renamed since."""
        experiment_id = self.client.get_run(run_id).info.experiment_id
        found = self.client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
        return [model for model in found if model.status == "READY"]

    def search_versions(self, condition: str = "") -> "list[ModelVersion]":
        """Return the versions of the registered model, all or those that match the condition."""
        mine = f"name = '{self.name}'"
        return list(self.client.search_model_versions(f"{mine} AND {condition}" if condition else mine))

    def version(self, number: str) -> "ModelVersion":
        return self.client.get_model_version(self.name, number)

    def registered_model(self) -> "RegisteredModel | None":
        """Return the registered model with its tags and aliases; None before the first version."""
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def aliases(self) -> dict[str, str]:
        """Return the version by alias; as text, because MLflow's stores differ in whether a version is a number."""
        model = self.registered_model()
        return {alias: str(number) for alias, number in model.aliases.items()} if model else {}

    def set_alias(self, alias: str, number: str) -> None:
        """Give the alias to a version; the version that had it loses it."""
        self.require_lock()
        self.client.set_registered_model_alias(self.name, alias, number)

    def delete_alias(self, alias: str) -> None:
        """Take an alias away from the version that has it."""
        self.require_lock()
        self.client.delete_registered_model_alias(self.name, alias)

    def tag_model(self, key: str, value: str) -> None:
        """Set one tag of the registered model."""
        self.require_lock()
        self.client.set_registered_model_tag(self.name, key, value)

    def tag_version(self, number: str, key: str, value: str) -> None:
        """Set one tag of a version."""
        self.require_lock()
        self.client.set_model_version_tag(self.name, number, key, value)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise UserError where MLflow or its database fails inside the block."""
    # Without these, MLflow retries for four minutes if a server is down, and reports its use to its makers.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # MLflow would print each run's address, with the password if it has one.
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    try:
        yield
    except (MlflowException, SQLAlchemyError, ImportError) as error:
        raise store_error(error) from None


def connect(name: str, require_lock: Callable[[], None] = lambda: None) -> Store:
    """Return the store of one data set; make database and experiment if they are missing.

    Raise UserError if the store can't be used.
    """
    require_usable()
    # One process at a time: two that are the first to use a database would both try to make its tables.
    with translate_errors(), lock_store(""):
        make_database()
        client = open_client()
        return Store(client, open_experiment(client, name), name, require_lock)


def make_database() -> None:
    """Make the store's file, if the store is a file and it is missing; give it its name only once it is complete.

    MLflow makes the tables one by one, which takes seconds. If it is killed meanwhile, it can never open the file.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    file = store_file()
    if file is None or (file.exists() and file.stat().st_size):
        return
    draft = file.with_name(f"{file.name}.new")
    for left in file.parent.glob(f"{draft.name}*"):
        left.unlink()
    store = SqlAlchemyStore(f"{SQLITE}{draft}", artifact_folder("").as_uri())  # type: ignore[no-untyped-call]  # MLflow's
    store.engine.dispose()
    draft.replace(file)


def connect_existing(name: str, require_lock: Callable[[], None] = lambda: None) -> Store:
    """Return the store of one data set; make nothing. Raise UserError if there is none or it has no such model."""
    client = open_existing()
    with translate_errors():
        found = client.get_experiment_by_name(name)
    if found is None:
        raise UserError(
            f"MLflow's store {without_password(store_uri())} has no model {name}: run `make run`, which registers it"
        )
    return Store(client, str(found.experiment_id), name, require_lock)


def open_existing() -> "MlflowClient":
    """Return the client of a store that exists; raise UserError, without making one, if there is none."""
    require_usable()
    file = store_file()
    if file and not file.exists():
        raise UserError(f"there is no MLflow store at {file}: run `make run`, which registers the models in a new one")
    with translate_errors():
        return open_client()


def open_client() -> "MlflowClient":
    """Return MLflow's client of the store, and make it the one that MLflow's own functions use."""
    import mlflow

    given = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(store_uri())
    # MLflow writes the address into the environment, where later code would take it for the user's setting.
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    if given is not None:
        os.environ["MLFLOW_TRACKING_URI"] = given
    return mlflow.MlflowClient()


def store_error(error: Exception) -> UserError:
    """Return the error for a store that is down, refuses a request, or isn't a store."""
    address, cause = without_password(store_uri()), without_password(first_line(error))
    return UserError(
        f"MLflow's store {address} can't be used: {cause}. No training is lost: fix or start the store, or unset "
        "MLFLOW_TRACKING_URI to use the file beside the project, and run the command again"
    )
