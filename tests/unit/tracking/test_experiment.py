from types import SimpleNamespace

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS

from pipeline.cli import UserError
from pipeline.tracking.experiment import open_experiment
from pipeline.tracking.store import connect


class Client:
    """An MLflow client whose server gives each new experiment this location."""

    def __init__(self, root: str, is_overtaken: bool = False):
        self.root, self.is_overtaken, self.made = root, is_overtaken, []

    def get_experiment_by_name(self, name: str):
        return self.made[-1] if self.made else None

    def create_experiment(self, name: str, artifact_location: str | None) -> str:
        self.made.append(self.get_experiment("7", artifact_location))
        if self.is_overtaken:  # another machine was faster
            raise MlflowException("it exists", error_code=RESOURCE_ALREADY_EXISTS)
        return "7"

    def get_experiment(self, number: str, place: str | None = None):
        return SimpleNamespace(
            experiment_id=number, lifecycle_stage="active", artifact_location=place or f"{self.root}/{number}"
        )


def test_a_deleted_experiment_is_reported_with_the_command_that_restores_it(store):
    store.client.delete_experiment(store.experiment_id)
    with pytest.raises(UserError, match=rf"digits is deleted.*restore --experiment-id {store.experiment_id}`"):
        connect("digits")


@pytest.mark.parametrize("uri", ["http://example.org", "https://example.org", "databricks"])
@pytest.mark.parametrize("is_overtaken", [False, True])
def test_a_server_decides_itself_where_artefacts_belong(root, monkeypatch, uri, is_overtaken):
    client = Client("mlflow-artifacts:", is_overtaken)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert open_experiment(client, "digits") == "7"
    assert [made.artifact_location for made in client.made] == ["mlflow-artifacts:/7"]


@pytest.mark.parametrize("folder", ["./mlruns", "/srv/mlruns", "file:///srv/mlruns"])
def test_a_server_that_leaves_artefacts_to_its_clients_folders_is_refused(root, monkeypatch, folder):
    client = Client(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@example.org")
    for _ in range(2):  # the experiment is first created, and then found
        with pytest.raises(
            UserError, match=r"http://example.org keeps the artefacts of digits .*: start `mlflow server"
        ) as error:
            open_experiment(client, "digits")
        assert "mlflow experiments rename --experiment-id 7 --new-name" in str(error.value)
