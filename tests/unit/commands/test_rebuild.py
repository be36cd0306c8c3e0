import json
from hashlib import md5
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.cli import UserError
from pipeline.commands import rebuild
from pipeline.paths import Workspace
from pipeline.tracking import trained_model
from pipeline.tracking.journal import append_event, read_events
from pipeline.tracking.store import Store
from tests.helpers.trained import write_trained_model

REPORTS = ("metrics.json", "model.sha256", "golden.json", "predictions.csv")


class Cache:
    """A cache as DVC keeps it, and the run cache's records in it."""

    def __init__(self, folder: Path):
        self.folder = folder

    def put(self, content: bytes) -> str:
        digest = md5(content).hexdigest()
        path = self.folder / "files/md5" / digest[:2] / digest[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return digest

    def record(self, cmd: str, deps: dict[str, str], outs: dict[str, str]) -> dict:
        """Note a stage's run; dependencies and outputs are md5 by path."""
        entry = {
            "cmd": cmd,
            "deps": [{"path": path, "md5": digest} for path, digest in deps.items()],
            "outs": [{"path": path, "md5": digest} for path, digest in outs.items()],
        }
        path = self.folder / "runs" / md5(json.dumps(entry).encode()).hexdigest()
        path.parent.mkdir(parents=True, exist_ok=True)
        YAML().dump(entry, path)
        return entry

    def record_model(self, workspace: Workspace, name: str) -> tuple[dict, dict]:
        """Note the training and the evaluation that wrote a model."""
        dataset = self.put(workspace.dataset.read_bytes())
        files = {path.name: self.put(path.read_bytes()) for path in sorted(workspace.model(name).iterdir())}
        listing = self.put(json.dumps([{"relpath": path, "md5": digest} for path, digest in files.items()]).encode())
        training = self.record(
            f"python -m pipeline.train {name}", {"data/prepared/dataset.json": dataset}, {f"models/{name}": listing}
        )
        deps = {f"models/{name}/{file}": digest for file, digest in files.items()}
        outs = {f"reports/{name}/{file}": self.put((workspace.report(name) / file).read_bytes()) for file in REPORTS}
        return training, self.record(f"python -m pipeline.evaluate {name}", deps, outs)


@pytest.fixture
def cache(tmp_path) -> Cache:
    return Cache(tmp_path / "cache")


def make_model(folder: Path, name: str = "tiny", wrong: int = 0, **receipt) -> trained_model.TrainedModel:
    write_trained_model(Workspace(folder), name, wrong, **receipt)
    return trained_model.read(name, Workspace(folder))


def restore(cache: Cache, folder: Path) -> dict[str, trained_model.TrainedModel]:
    return {model.key: model for model in rebuild.restore_cached_models(cache.folder, folder)}


def test_each_training_comes_back_with_its_own_evaluation(cache, tmp_path):
    made = [make_model(tmp_path / str(wrong), wrong=wrong) for wrong in (0, 1)]
    made.append(make_model(tmp_path / "2", name="other"))
    for number, model in enumerate(made):
        cache.record_model(Workspace(tmp_path / str(number)), model.name)
    cache.record("python -m pipeline.preprocess", {}, {})
    found = restore(cache, tmp_path / "restored")
    assert set(found) == {model.key for model in made}
    for model in made:
        restored = found[model.key]
        assert restored.receipt == model.receipt
        assert restored.folder.is_relative_to(tmp_path / "restored")
        assert {path.name for path in restored.report.iterdir()} == set(REPORTS)


@pytest.mark.parametrize("file", ["model.onnx", "model.tflite", "model_int8.tflite", "history.csv"])
def test_an_evaluation_of_other_files_is_not_the_trainings(cache, tmp_path, file):
    make_model(tmp_path / "one")
    training, evaluation = cache.record_model(Workspace(tmp_path / "one"), "tiny")
    assert rebuild.is_of_training(cache.folder, evaluation, training)
    (changed,) = [dep for dep in evaluation["deps"] if dep["path"] == f"models/tiny/{file}"]
    changed["md5"] = "0" * 32
    assert not rebuild.is_of_training(cache.folder, evaluation, training)
    evaluation["deps"].remove(changed)
    assert not rebuild.is_of_training(cache.folder, evaluation, training)


def test_what_garbage_collection_took_is_passed_over(cache, tmp_path):
    make_model(tmp_path / "one")
    make_model(tmp_path / "two", name="other")
    training, _ = cache.record_model(Workspace(tmp_path / "one"), "tiny")
    cache.record_model(Workspace(tmp_path / "two"), "other")
    rebuild.cached_file(cache.folder, training["outs"][0]["md5"]).unlink()
    assert [model.name for model in restore(cache, tmp_path / "restored").values()] == ["other"]


def test_records_of_an_older_project_are_passed_over(cache, tmp_path):
    make_model(tmp_path / "one")
    cache.record_model(Workspace(tmp_path / "one"), "tiny")
    cache.record("python -m pipeline.train old", {}, {"models/old": cache.put(b"[]")})
    assert [model.name for model in restore(cache, tmp_path / "restored").values()] == ["tiny"]


def test_the_workspaces_models_are_added_and_of_equals_the_oldest_is_kept(cache, tmp_path, monkeypatch):
    make_model(tmp_path / "one")
    cache.record_model(Workspace(tmp_path / "one"), "tiny")
    later = "2027-01-02T03:04:00+00:00"
    models = {
        "tiny": make_model(tmp_path / "here", started=later),
        "dense": make_model(tmp_path / "here", name="dense"),
    }

    def read(name: str, workspace: Workspace | None = None) -> trained_model.TrainedModel:
        if workspace:
            return original(name, workspace)
        if name not in models:
            raise UserError("not trained")
        return models[name]

    original = trained_model.read
    monkeypatch.setattr(trained_model, "read", read)
    monkeypatch.setattr(rebuild, "find_cache", lambda: cache.folder)
    found = rebuild.collect_models(("tiny", "missing", "dense"), tmp_path / "restored")
    assert {model.name: model.receipt["started"][:4] for model in found.values()} == {"tiny": "2026", "dense": "2026"}
    assert len(found) == 2


def test_the_numbers_of_lost_versions_are_used_up(store):
    def numbers() -> list[int]:
        return sorted(int(version.version) for version in store.search_versions())

    rebuild.use_up_number(store, 1)
    assert numbers() == []
    created = store.client.create_model_version("digits", source="file:///nowhere")
    assert int(created.version) == 2
    rebuild.use_up_number(store, 2)
    assert numbers() == [2]
    rebuild.use_up_number(store, 3)
    assert int(store.client.create_model_version("digits", source="file:///nowhere").version) == 4


@pytest.fixture
def registered(monkeypatch) -> list[str]:
    """The models that are registered, in their order; the store gets a version with their key."""
    registered = []

    def register_version(store: Store, model: trained_model.TrainedModel):
        registered.append(model.name)
        if not store.client.search_registered_models(f"name = '{store.name}'"):
            store.client.create_registered_model(store.name)
        return store.client.create_model_version(store.name, source="file:///nowhere", tags={"model": model.name})

    monkeypatch.setattr(rebuild, "register_version", register_version)
    return registered


def decide(version: int, model: str, key: str, promote: bool, against: str | None = None, name: str = "digits") -> None:
    append_event(
        {
            "event": "decided", "name": name, "model": model, "version": str(version), "content_key": key,
            "against": against, "policy": {}, "promote": promote, "reasons": ["a reason"],
        }
    )  # fmt: skip


def test_versions_tags_and_aliases_come_back_in_the_journals_order(store, tmp_path, registered, capsys):
    models = [
        make_model(tmp_path / name, name=name, started=f"202{9 - place}-01-02T03:04:00+00:00")
        for place, name in enumerate(("first", "second", "younger", "older"))
    ]
    keys = {model.key: model for model in models}
    decide(2, "second", models[1].key, True, against="1")
    decide(1, "first", models[0].key, True)
    decide(1, "other", models[2].key, True, name="mnist")
    append_event({"event": "rolled back", "name": "digits", "version": "1", "against": "2"})
    rebuild.rebuild(store, keys)
    assert registered == ["first", "second", "older", "younger"]
    assert len(keys) == 4  # the caller's models are not changed
    assert store.aliases() == {"champion": "1", "previous": "2"}
    assert json.loads(store.version("2").tags["promotion"]) == {
        "version": "2", "content_key": models[1].key, "against": "1", "policy": {}, "promote": True,
        "reasons": ["a reason"],
    }  # fmt: skip
    assert "promotion" not in store.version("3").tags
    assert capsys.readouterr().out == "digits: 4 versions, {'champion': '1', 'previous': '2'}\n"


def test_a_lost_version_keeps_its_number_and_gets_no_alias(store, tmp_path, registered, capsys):
    model = make_model(tmp_path / "one")
    decide(1, "gone", "0" * 64, True)
    decide(2, "tiny", model.key, True, against="1")
    rebuild.rebuild(store, {model.key: model})
    assert [int(version.version) for version in store.search_versions()] == [2]
    assert store.aliases() == {"champion": "2"}
    assert capsys.readouterr().out.endswith("; not on this disk any more: version 1\n")


def test_each_data_set_is_rebuilt_by_itself(root, tmp_path, monkeypatch):
    models = {name: make_model(tmp_path / name, name=name) for name in ("a", "b", "c")}
    models["b"].dataset["name"] = "mnist"
    rebuilt = []
    monkeypatch.setattr(rebuild, "collect_models", lambda names, folder: models)
    monkeypatch.setattr(rebuild, "rebuild", lambda store, models: rebuilt.append((store.name, list(models))))
    rebuild.main()
    assert rebuilt == [("digits", ["a", "c"]), ("mnist", ["b"])]
    models.clear()
    with pytest.raises(UserError, match=r"neither the workspace nor DVC's cache has .*run `dvc repro`"):
        rebuild.main()


def test_events_of_a_rebuild_are_not_journalled_again(store, tmp_path, registered):
    model = make_model(tmp_path / "one")
    decide(1, "tiny", model.key, True)
    rebuild.rebuild(store, {model.key: model})
    assert len(read_events()) == 1
