"""What a model's URI means, and how often a version that fails is tried again."""

from types import SimpleNamespace

import pytest

from serving import model_source
from serving.loaded_model import LoadedModel, version_identity
from serving.loading import ModelLoadError
from serving.model_source import MAX_RETRY_DELAY_S, ModelSource


class Version:
    """A registered version, with only what the model source reads."""

    def __init__(self, number: str, sha256: str = ""):
        self.version, self.tags = number, {"onnx_sha256": sha256}


class Registry:
    """A registry whose alias a test can move, and a clock that a test can set; version 2 can't be loaded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now, self.tried, self.found = 0.0, [], Version("1")
        monkeypatch.setattr(model_source, "fetch_version", self.fetch)
        monkeypatch.setattr(model_source.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(ModelSource, "_find_version", self.find)

    def find(self, *_) -> Version:
        if self.found is None:
            raise ModelLoadError("the registry is away")
        return self.found

    def fetch(self, version, alias) -> LoadedModel:
        self.tried.append(self.now)
        if version.version == "2":
            raise ModelLoadError("version 2 is broken")
        return LoadedModel(None, None, {"name": "digits", "version": version.version}, version_identity(version))


@pytest.fixture
def registry(monkeypatch) -> Registry:
    return Registry(monkeypatch)


@pytest.fixture
def source(registry) -> ModelSource:
    source = ModelSource("models:/digits@champion", poll_seconds=2)
    registry.tried.clear()
    return source


def test_a_version_that_fails_is_tried_again_ever_more_rarely(registry, source):
    registry.found = Version("2")
    for second in range(0, 40, 2):
        registry.now = float(second)
        source.update()
        assert source.problem == "version 2 is broken; version 1 is still served"
    assert registry.tried == [0, 4, 12, 28]
    registry.found = Version("3")
    source.update()
    assert (source.loaded.facts["version"], source.problem) == ("3", None)


def test_it_is_tried_at_least_every_five_minutes(registry, source):
    registry.found = Version("2")
    for second in range(0, 4000, 2):
        registry.now = float(second)
        source.update()
    assert registry.tried[-1] - registry.tried[-2] == MAX_RETRY_DELAY_S == 300


@pytest.mark.parametrize("step", ["fetch_version", "_find_version"])
def test_an_error_that_nobody_foresaw_is_a_problem_too_and_is_logged_once(registry, source, monkeypatch, caplog, step):
    def fail(*_) -> None:
        registry.tried.append(registry.now)
        raise OSError("no space left on device")

    registry.found = Version("2")
    monkeypatch.setattr(*((model_source, step) if step == "fetch_version" else (ModelSource, step)), fail)
    for second in range(0, 40, 2):
        registry.now = float(second)
        source.update()
        assert source.problem == "no space left on device; version 1 is still served"
    assert registry.tried == ([0, 4, 12, 28] if step == "fetch_version" else list(range(0, 40, 2)))
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info


def test_another_version_that_fails_is_tried_at_once(registry, source):
    registry.found = Version("2")
    source.update()
    registry.found = Version("2", "another network")
    source.update()
    assert registry.tried == [0, 0]


def test_an_alias_that_has_not_moved_loads_nothing(registry, source):
    source.update()
    assert registry.tried == []


def test_a_version_of_the_same_number_but_another_network_is_loaded(registry, source):
    registry.found = Version("1", "rebuilt")
    source.update()
    assert source.loaded.identity[:2] == ("1", "rebuilt")


def test_a_registry_that_is_away_is_a_problem_until_it_is_back(registry, source):
    registry.found = None
    source.update()
    assert source.problem == "the registry is away; version 1 is still served"
    registry.found = Version("1")
    source.update()
    assert source.problem is None


def test_replicas_that_start_together_look_at_different_moments(source, monkeypatch):
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) > 20:
            raise InterruptedError

    monkeypatch.setattr(model_source.time, "sleep", sleep)
    with pytest.raises(InterruptedError):
        source._follow()
    assert 1.6 <= min(waits) < max(waits) <= 2.4
    assert len(set(waits)) == len(waits)


@pytest.mark.parametrize("uri", ["models:/digits@champion", "models:/digits/3"])
def test_only_an_alias_is_followed(registry, uri):
    assert ModelSource(uri).alias == ("champion" if "@" in uri else None)


@pytest.mark.parametrize("uri", ["models:/digits", "models:/digits/three", "models:/@champion", "models:/a@b@c"])
def test_a_uri_that_names_no_version_is_an_error_that_says_how_to_write_one(uri):
    with pytest.raises(ModelLoadError, match="names no registered version; write models:/mnist@champion"):
        ModelSource(uri)


class Elsewhere:
    """A registry that has another model, or none, or that doesn't answer."""

    def __init__(self, *models: SimpleNamespace | Exception):
        self.models = models

    def get_model_version_by_alias(self, *_):
        raise LookupError("not found")

    get_model_version = get_model_version_by_alias

    def search_registered_models(self, max_results: int):
        for model in self.models:
            if isinstance(model, Exception):
                raise model
        return self.models[:max_results]


DIGITS = SimpleNamespace(name="digits", aliases={"previous": "1", "champion": "2"})


@pytest.mark.parametrize(
    ("there", "end"),
    [
        ((DIGITS,), "not found; it has models:/digits@champion, models:/digits@previous"),
        ((SimpleNamespace(name="digits", aliases={}),), "not found; it has no model with an alias"),
        ((OSError("the registry is down"),), "not found"),
    ],
    ids=["another", "none", "no answer"],
)
def test_a_model_that_isnt_registered_is_an_error_that_lists_those_that_are(there, end, monkeypatch):
    monkeypatch.setattr("mlflow.MlflowClient", lambda: Elsewhere(*there))
    monkeypatch.setattr("mlflow.get_registry_uri", lambda: "http://registry")
    for uri in ("models:/mnist@champion", "models:/mnist/3"):
        with pytest.raises(ModelLoadError) as refused:
            ModelSource(uri)
        assert str(refused.value) == f"the registry http://registry has no {uri}: {end}"


def test_what_else_is_registered_is_not_shown_while_serving(registry, source, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr("mlflow.MlflowClient", lambda: Elsewhere(DIGITS))
    monkeypatch.setattr("mlflow.get_registry_uri", lambda: "http://registry")
    source.update()
    assert source.problem == (
        "the registry http://registry has no models:/digits@champion: not found; version 1 is still served"
    )
