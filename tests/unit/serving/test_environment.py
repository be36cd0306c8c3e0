"""MLflow's settings, where the caller leaves them open."""

import os

from serving.environment import DEFAULTS, set_mlflow_defaults
from tests.helpers.project import SOURCE


def test_defaults_fill_what_the_environment_leaves_open(monkeypatch):
    for name in DEFAULTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://registry:5000")
    set_mlflow_defaults()
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://registry:5000"
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    for name in DEFAULTS:
        monkeypatch.delenv(name, raising=False)


def test_the_default_store_is_the_projects_wherever_it_is_run_from():
    assert DEFAULTS["MLFLOW_TRACKING_URI"] == f"sqlite:///{SOURCE.resolve()}/mlflow.db"
