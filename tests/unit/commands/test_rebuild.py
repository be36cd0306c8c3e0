import json
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest

from pipeline.cli import UserError
from pipeline.commands import rebuild
from pipeline.config.credits import CREDITS
from pipeline.data.dvc_cache import cached_file
from pipeline.paths import Workspace
from pipeline.tracking import registry, trained_model
from pipeline.tracking.journal import append_event, read_events
from pipeline.tracking.location import find_other_folder
from pipeline.tracking.store import Store
from tests.helpers.dvc_cache import REPORTS, Cache
from tests.helpers.trained import write_trained_model


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
    cached_file(cache.folder, training["outs"][0]["md5"]).unlink()
    assert [model.name for model in restore(cache, tmp_path / "restored").values()] == ["other"]


def test_records_of_an_older_project_are_passed_over(cache, tmp_path):
    make_model(tmp_path / "one")
    cache.record_model(Workspace(tmp_path / "one"), "tiny")
    cache.record("python -m pipeline.train old", {}, {"models/old": cache.put(b"[]")})
    cache.record(["python -m pipeline.train list"], {}, {})
    make_model(tmp_path / "edited", "edited")
    training, _ = cache.record_model(Workspace(tmp_path / "edited"), "edited")
    path = next(
        path for path in (cache.folder / "runs").iterdir() if f"train {training['cmd'].split()[-1]}" in path.read_text()
    )
    path.write_text(path.read_text().replace("data/prepared/dataset.json", "data/other.json"))
    assert [model.name for model in restore(cache, tmp_path / "restored").values()] == ["tiny"]


@pytest.mark.parametrize("rest", ["", "cmd: python -m pipeline.train tiny\ndeps:\n- path: co", 'cmd: "python -m pip'])
def test_a_record_that_dvc_was_killed_while_it_wrote_is_passed_over(cache, tmp_path, rest):
    make_model(tmp_path / "one")
    cache.record_model(Workspace(tmp_path / "one"), "tiny")
    (cache.folder / "runs/rest").write_text(rest)
    assert [model.name for model in restore(cache, tmp_path / "restored").values()] == ["tiny"]


def test_what_keeps_dvc_from_naming_its_cache_is_reported(tmp_path, monkeypatch):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("<<<<<<< HEAD\n")
    subprocess.run(("git", "init", "--quiet"), cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"`dvc cache dir` fails.*\n.*config file error: Invalid line"):
        rebuild.find_cache()


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


def test_a_report_that_lacks_a_file_costs_no_other_model(cache, tmp_path, monkeypatch):
    for name in ("tiny", "dense"):
        make_model(tmp_path / "here", name=name)
    Workspace(tmp_path / "here").report("tiny").joinpath("model.sha256").unlink()
    monkeypatch.setattr(trained_model, "read", partial(trained_model.read, workspace=Workspace(tmp_path / "here")))
    monkeypatch.setattr(rebuild, "find_cache", lambda: cache.folder)
    found = rebuild.collect_models(("tiny", "dense"), tmp_path / "restored")
    assert [model.name for model in found.values()] == ["dense"]


def numbers(store: Store) -> list[int]:
    return sorted(int(version.version) for version in store.search_versions())


def test_the_numbers_of_lost_versions_are_used_up(store):
    store.client.create_registered_model("digits")
    rebuild.use_up_numbers(store, 0)
    rebuild.use_up_numbers(store, 1)
    assert numbers(store) == []
    assert int(store.client.create_model_version("digits", source="file:///nowhere").version) == 2
    rebuild.use_up_numbers(store, 2)
    assert numbers(store) == [2]
    rebuild.use_up_numbers(store, 4)
    assert int(store.client.create_model_version("digits", source="file:///nowhere").version) == 5


def test_a_number_that_a_killed_rebuild_was_using_up_leaves_no_version(store, tmp_path, registered, monkeypatch):
    model = make_model(tmp_path / "one")
    decide(2, model, True)

    def die(*arguments) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(store.client), "delete_model_version", die)
        with pytest.raises(KeyboardInterrupt):
            rebuild.rebuild(store, {model.key: model})
    assert numbers(store) == [1]
    rebuild.rebuild(store, {model.key: model})
    assert [version.tags["model"] for version in store.search_versions()] == ["tiny"]


@pytest.fixture
def registered(monkeypatch) -> list[str]:
    """The models that were registered, in order; the store gets a version with their tags for each."""
    registered = []

    def register_version(store: Store, model: trained_model.TrainedModel):
        registered.append(model.name)
        if found := store.search_versions(f"tags.content_key = '{model.key}'"):
            return found[0]
        if store.registered_model() is None:
            store.client.create_registered_model(store.name)
        run = store.client.create_run(store.experiment_id)
        return store.client.create_model_version(store.name, "file:///nowhere", run.info.run_id, tags=model.tags)

    monkeypatch.setattr(rebuild, "register_version", register_version)
    return registered


def decide(
    version: int, model: trained_model.TrainedModel, promote: bool, against: str | None = None, **changes
) -> None:
    """Write the gate's decision on a version into the journal."""
    keys = ("model", "content_key", "trained_key", "onnx_sha256")
    append_event(
        {
            "event": "decided", "store": "mlflow.db", "name": "digits", **{key: model.tags[key] for key in keys},
            "version": str(version), "against": against, "policy": {}, "promote": promote, "reasons": ["a reason"],
        } | changes
    )  # fmt: skip


def test_versions_decisions_and_aliases_come_back_in_the_journals_order(store, tmp_path, registered, capsys):
    models = [
        make_model(tmp_path / name, name=name, wrong=place, started=f"202{9 - place}-01-02T03:04:00+00:00")
        for place, name in enumerate(("first", "second", "younger", "older"))
    ]
    keys = {model.key: model for model in models}
    decide(2, models[1], True, against="1")
    decide(1, models[0], True)
    decide(1, models[2], True, name="mnist")
    decide(1, models[2], True, store="https://example.org")
    rebuild.rebuild(store, keys)
    assert registered == ["first", "second", "older", "younger"]
    assert len(keys) == 4  # the caller's models are not changed
    assert store.aliases() == {"champion": "1", "previous": "2"}
    assert json.loads(store.version("2").tags["promotion"]) == {
        "version": "2", "content_key": models[1].key, "against": "1", "policy": {}, "promote": True,
        "reasons": ["a reason"],
    }  # fmt: skip
    assert "promotion" not in store.version("3").tags
    assert ["**Promoted" in store.version(number).description for number in ("2", "3")] == [True, False]
    assert capsys.readouterr().out == "digits: 4 versions; champion is version 1, previous is version 2\n"
    assert len(read_events("mlflow.db", "digits")) == 2  # they are not written into the journal again


def test_a_lost_version_keeps_its_number_and_gets_no_alias(store, tmp_path, registered, capsys):
    gone, model = make_model(tmp_path / "gone", "gone", 1), make_model(tmp_path / "one")
    decide(1, gone, True)
    decide(2, model, True, against="1")
    rebuild.rebuild(store, {model.key: model})
    assert numbers(store) == [2]
    assert store.aliases() == {"champion": "2"}
    assert capsys.readouterr().out.endswith("or only with newer serving code: version 1\n")


def test_what_a_person_decided_comes_back_with_the_versions(store, tmp_path, registered):
    models = [make_model(tmp_path / name, name, wrong) for wrong, name in enumerate(("first", "second"))]
    decide(1, models[0], True)
    decide(2, models[1], False, against="1")
    decide(2, models[1], True, against="1", event="promoted", policy=None, reasons=["wanted"])
    time, network = "2026-02-03T04:05:06", models[0].tags["onnx_sha256"][:16]
    decide(2, models[1], True, against="1", event="rolled back", time=time, rejected=network, reasons=["broken"])
    rebuild.rebuild(store, {model.key: model for model in models})
    first, second = (json.loads(store.version(number).tags["promotion"]) for number in ("1", "2"))
    assert (first["promote"], first["policy"]) == (False, None)
    assert first["reasons"] == ["rejected by a person on 2026-02-03: broken"]
    assert (second["promote"], second["reasons"]) == (True, ["wanted"])
    assert store.aliases() == {"champion": "2"}
    assert "event" not in first


def test_a_champion_that_is_lost_is_named_with_what_brings_it_back(store, tmp_path, registered, capsys):
    gone, model = make_model(tmp_path / "gone", "gone", 1), make_model(tmp_path / "one")
    decide(1, model, True)
    decide(2, gone, True, against="1")
    rebuild.rebuild(store, {model.key: model})
    assert store.aliases() == {"champion": "1"}
    said = capsys.readouterr().out.splitlines()[-1]
    assert "version 2 is the journal's champion of digits" in said
    assert "`dvc pull --run-cache --all-commits`" in said


def test_other_serving_code_than_when_it_was_registered_loses_no_version_and_no_champion(
    store, tmp_path, registered, monkeypatch
):
    models = [make_model(tmp_path / name, name, wrong) for wrong, name in enumerate(("worse", "better"))]
    for number, model in enumerate(models, start=1):
        decide(number, model, True, against=None)
    code = tmp_path / "model.py"
    code.write_text("# edited since")
    monkeypatch.setattr(trained_model, "SERVING_CODE", code)
    edited = [trained_model.read(model.name, Workspace(tmp_path / model.name)) for model in models]
    assert {model.key for model in edited}.isdisjoint(model.key for model in models)
    rebuild.rebuild(store, {model.key: model for model in edited})
    assert numbers(store) == [1, 2]
    assert store.aliases() == {"champion": "2", "previous": "1"}


def test_a_journal_without_networks_of_an_older_version_works(store, tmp_path, registered):
    models = [make_model(tmp_path / name, name, wrong) for wrong, name in enumerate(("first", "second"))]
    for number, model in enumerate(models, start=1):
        event = {"event": "decided", "name": "digits", "version": str(number), "content_key": model.key, "policy": {}}
        append_event(event | {"against": None, "promote": True, "reasons": []})
    append_event({"event": "rolled back", "name": "digits", "version": "1", "against": "2"})
    rebuild.rebuild(store, {model.key: model for model in models})
    assert store.aliases() == {"champion": "1"}


def test_a_store_keeps_its_champion_and_its_decisions_whatever_another_ones_journal_says(store, tmp_path, registered):
    models = [make_model(tmp_path / name, name, wrong) for wrong, name in enumerate(("first", "second"))]
    for model in models:
        rebuild.register_version(store, model)
    store.set_alias("champion", "1")
    store.tag_version("1", "promotion", '{"promote": true}')
    decide(1, models[1], True, store="https://example.org")
    decide(2, models[1], True)
    rebuild.rebuild(store, {model.key: model for model in models})
    assert store.aliases() == {"champion": "1"}
    assert store.version("1").tags["promotion"] == '{"promote": true}'


def test_another_store_that_is_empty_begins_as_the_projects_own(store, tmp_path, registered, monkeypatch):
    model = make_model(tmp_path / "one")
    decide(1, model, True)
    uri = f"sqlite:////elsewhere{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    rebuild.rebuild(store, {model.key: model})
    assert store.aliases() == {"champion": "1"}
    own, copied = (read_events(label, "digits") for label in ("mlflow.db", uri))
    assert copied == [event | {"store": uri} for event in own]


def test_without_a_champion_that_is_said_with_what_helps(store, tmp_path, registered, capsys):
    model = make_model(tmp_path / "one")
    rebuild.rebuild(store, {model.key: model})
    first, second = capsys.readouterr().out.splitlines()
    assert first == "digits: 1 versions; no champion"
    assert second.endswith("names none of them as champion: `make run` lets the gate decide")


def test_other_commands_refuse_a_store_whose_rebuild_was_cut_short(store, tmp_path, registered):
    model = make_model(tmp_path / "one")
    decide(1, model, True)
    registry.begin_rebuild(store)
    with pytest.raises(UserError, match="`make rebuild-tracking` was cut short in this store: run it again"):
        registry.settle(store)
    rebuild.rebuild(store, {model.key: model})
    assert registry.settle(store).champion.version == "1"


def test_the_store_of_another_folder_is_moved_aside(store, root, monkeypatch, capsys):
    folder = root / "moved"
    folder.mkdir()
    shutil.copy(root / "mlflow.db", folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    (folder / "mlflow.db.old-1").touch()
    rebuild.move_foreign_store()
    assert f"belonged to the folder {root}: it is mlflow.db.old-2 now" in capsys.readouterr().out
    assert (find_other_folder(), (folder / "mlflow.db").exists()) == (None, False)
    rebuild.move_foreign_store()
    assert capsys.readouterr().out == ""


def test_each_data_set_is_rebuilt_by_itself(root, tmp_path, monkeypatch):
    models = {name: make_model(tmp_path / name, name=name) for name in ("a", "b", "c")}
    models["b"].dataset["name"] = "mnist"
    rebuilt = []
    monkeypatch.setattr(rebuild, "collect_models", lambda names, folder: models)
    monkeypatch.setattr(
        rebuild, "rebuild", lambda store, models, credit: rebuilt.append((store.name, list(models), credit))
    )
    rebuild.main()
    assert rebuilt == [("digits", ["a", "c"], CREDITS["digits"]), ("mnist", ["b"], CREDITS["mnist"])]
    models.clear()
    with pytest.raises(UserError, match=r"neither the workspace nor DVC's cache has .*run `dvc repro`"):
        rebuild.main()
