"""Which versions other than the served version the page can look inside."""

from types import SimpleNamespace

import mlflow
import pytest
from starlette.exceptions import HTTPException

from serving.app import versions as module
from serving.app.versions import Versions
from serving.loaded_model import LoadedModel, version_identity
from serving.loading import ModelLoadError
from serving.verification import ALL_HASHES


def version(number: int, **tags: str) -> SimpleNamespace:
    return SimpleNamespace(version=number, name="mnist", tags={ALL_HASHES: "{}", "model": f"preset_{number}", **tags})


@pytest.fixture
def loads(monkeypatch) -> list[str]:
    """The versions that were loaded, from a registry with versions 1 to 4; 2 has older code, and 1 is broken."""
    done: list[str] = []
    registered = [version(4), version(3), version(2), version(1)]
    del registered[2].tags[ALL_HASHES]
    client = SimpleNamespace(search_model_versions=lambda *_: registered)
    monkeypatch.setattr(mlflow, "MlflowClient", lambda: client)

    def fetch(wanted, alias) -> LoadedModel:
        done.append(str(wanted.version))
        if wanted.version == 1:
            raise ModelLoadError("version 1 is not as it was registered: model.py is missing")
        return LoadedModel(None, None, {"version": str(wanted.version)}, version_identity(wanted))

    monkeypatch.setattr(module, "fetch_version", fetch)
    return done


def served(number: str | None) -> Versions:
    return Versions(SimpleNamespace(loaded=SimpleNamespace(facts={"name": "mnist", "version": number})))


def test_versions_that_can_be_verified_are_listed(loads):
    assert served("4").describe() == [
        {"version": "4", "preset": "preset_4"}, {"version": "3", "preset": "preset_3"},
        {"version": "1", "preset": "preset_1"},
    ]  # fmt: skip
    assert served(None).describe() == []  # a folder's model


def test_one_is_kept(loads):
    versions = served("4")
    assert versions.load("3") is versions.load("3")
    versions.load("4")
    versions.load("3")
    assert loads == ["3", "4", "3"]


@pytest.mark.parametrize("number", ["2", "5", "", "x", "3' OR '1'='1"])
def test_others_are_unknown(loads, number):
    with pytest.raises(HTTPException) as error:
        served("4").load(number)
    assert error.value.status_code == 404
    assert loads == []


def test_one_that_is_refused_is_not_kept_and_says_why(loads):
    versions = served("4")
    versions.load("3")
    with pytest.raises(HTTPException, match=r"model\.py is missing"):
        versions.load("1")
    assert versions.kept is None


def test_a_registry_that_does_not_answer_takes_only_the_other_versions_away(monkeypatch):
    def search(*_) -> None:
        raise mlflow.MlflowException("API request failed with exception HTTPConnectionPool(host='registry')")

    monkeypatch.setattr(mlflow, "MlflowClient", lambda: SimpleNamespace(search_model_versions=search))
    assert served("4").describe() == []
    with pytest.raises(HTTPException, match="the registry doesn't answer") as error:
        served("4").load("3")
    assert error.value.status_code == 503
