"""One data set's experiment in MLflow, and where its artefacts belong."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.cli import UserError
from pipeline.tracking.location import START_SERVER, artifact_folder, is_server, store_uri
from serving.environment import without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment


def open_experiment(client: "MlflowClient", name: str) -> str:
    """Return the experiment's id; make the experiment if it is missing.

    Raise UserError if it is deleted, or if each machine would keep its artefacts in a folder of its own.
    """
    found = client.get_experiment_by_name(name) or make_experiment(client, name)
    if found.lifecycle_stage == "deleted":
        raise UserError(
            f"MLflow's experiment {name} is deleted: `mlflow experiments restore --experiment-id "
            f"{found.experiment_id}` brings it back"
        )
    if is_server(store_uri()) and urlsplit(found.artifact_location).scheme in ("", "file"):
        raise UserError(
            f"MLflow's store {without_password(store_uri())} keeps the artefacts of {name} in a folder on each "
            f"machine, {found.artifact_location}: {START_SERVER}; then give that experiment another name, "
            f"`mlflow experiments rename --experiment-id {found.experiment_id} --new-name {name}-before`"
        )
    return str(found.experiment_id)


def make_experiment(client: "MlflowClient", name: str) -> "Experiment":
    """Make an experiment, or return the one that another machine has made meanwhile."""
    from mlflow.exceptions import MlflowException

    # A server knows where its artefacts belong; beside a database file we name the folder, or MLflow would take the
    # current one.
    location = None if is_server(store_uri()) else artifact_folder(name).as_uri()
    try:
        return client.get_experiment(client.create_experiment(name, artifact_location=location))
    except MlflowException as error:
        found = client.get_experiment_by_name(name)
        if error.error_code != "RESOURCE_ALREADY_EXISTS" or found is None:
            raise
        return found
