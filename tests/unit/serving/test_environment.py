"""The settings of MLflow and ONNX Runtime that are made if the caller has not set them."""

import os

import pytest

from serving import environment
from serving.environment import DEFAULTS, default_model, set_mlflow_defaults
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


@pytest.mark.parametrize(
    ("registration", "model"),
    [
        ('{"name": "digits", "champion": null}', "models:/digits@champion"),
        (None, "models:/mnist@champion"),
        ('{"name": ', "models:/mnist@champion"),
        ("[]", "models:/mnist@champion"),
    ],
    ids=["digits was registered", "nothing was", "cut short", "something else"],
)
def test_the_default_model_is_the_champion_of_what_was_registered_last(registration, model, tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "REGISTRATION", tmp_path / "registry.json")
    if registration is not None:
        (tmp_path / "registry.json").write_text(registration)
    assert default_model() == model
