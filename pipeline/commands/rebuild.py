"""Rebuild MLflow's view (`make rebuild-tracking`): every run, version and alias that the disk still knows.

Sources: the workspace, DVC's cache with its record of past runs, and the journal promotions.jsonl, which knows the
order of the versions and who became champion. What is there already stays unchanged.
"""

import itertools
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.cli import UserError, run
from pipeline.config.params import load
from pipeline.paths import Workspace, project_root
from pipeline.tracking import trained_model
from pipeline.tracking.journal import DECIDED, read_events, replay_aliases
from pipeline.tracking.promotion import CHAMPION, PREVIOUS
from pipeline.tracking.runs import register_version
from pipeline.tracking.store import Store, connect, lock_registry
from pipeline.tracking.trained_model import MODEL_FILES, TrainedModel

NOT_IN_RECORD = ("time", "event", "name", "model")  # what the journal adds to a version's tag `promotion`


def main() -> None:
    """Rebuild each data set's part of the store; raise UserError if there is nothing to rebuild it from."""
    params = load()
    with tempfile.TemporaryDirectory() as folder, lock_registry():
        models = collect_models(params.presets, Path(folder))
        if not models:
            raise UserError("neither the workspace nor DVC's cache has a trained and evaluated model: run `dvc repro`")
        for name in sorted({model.dataset["name"] for model in models.values()}):
            own = {key: model for key, model in models.items() if model.dataset["name"] == name}
            rebuild(connect(name), own)


def rebuild(store: Store, models: dict[str, TrainedModel]) -> None:
    """Register one data set's models, by key, in the journal's order, then set tags and aliases as it says."""
    remaining = dict(models)
    events = [event for event in read_events() if event["name"] == store.name]
    decisions = {int(event["version"]): event for event in events if event["event"] == DECIDED}
    lost = []
    for number, decision in sorted(decisions.items()):
        if model := remaining.pop(decision["content_key"], None):
            version = register_version(store, model)
            record = {key: value for key, value in decision.items() if key not in NOT_IN_RECORD}
            store.tag_version(str(version.version), "promotion", json.dumps(record))
        else:
            lost.append(number)
            use_up_number(store, number)
    for model in sorted(remaining.values(), key=lambda model: model.receipt["started"]):
        register_version(store, model)
    champion, previous = replay_aliases(events)
    aliases = {alias: number for alias, number in ((CHAMPION, champion), (PREVIOUS, previous)) if number}
    for alias, number_text in aliases.items():
        if int(number_text) not in lost:
            store.set_alias(alias, number_text)
    print(
        f"{store.name}: {len(store.search_versions())} versions, {aliases}"
        + (f"; not on this disk any more: version {', '.join(map(str, lost))}" if lost else "")
    )


def use_up_number(store: Store, number: int) -> None:
    """Use up the number of a version whose content is gone, so that the later ones keep theirs."""
    numbers = [int(version.version) for version in store.search_versions()]
    if max(numbers, default=0) < number:
        if not store.client.search_registered_models(f"name = '{store.name}'"):
            store.client.create_registered_model(store.name)
        empty = store.client.create_model_version(store.name, source=(project_root() / "mlruns").as_uri())
        store.client.delete_model_version(store.name, str(empty.version))


def collect_models(names: tuple[str, ...], folder: Path) -> dict[str, TrainedModel]:
    """Return models by key, from DVC's cache (restored below `folder`) and the workspace; of equals, the oldest."""
    found = list(restore_cached_models(find_cache(), folder))
    for name in names:
        try:
            found.append(trained_model.read(name))
        except UserError:
            continue  # not trained, or in the middle of a change
    found.sort(key=lambda model: model.receipt["started"], reverse=True)
    return {model.key: model for model in found}


def find_cache() -> Path:
    """Return the folder of DVC's cache."""
    return Path(subprocess.run(("dvc", "cache", "dir"), capture_output=True, text=True, check=True).stdout.strip())


def restore_cached_models(cache: Path, folder: Path) -> Iterator[TrainedModel]:
    """Restore every pair of a training and its evaluation that DVC's run cache has and whose files it still holds."""
    records = [YAML(typ="safe").load(path) for path in sorted((cache / "runs").rglob("*")) if path.is_file()]
    trainings = [record for record in records if record["cmd"].startswith("python -m pipeline.train ")]
    evaluations = [record for record in records if record["cmd"].startswith("python -m pipeline.evaluate ")]
    for number, (training, evaluation) in enumerate(itertools.product(trainings, evaluations)):
        try:
            if is_of_training(cache, evaluation, training):
                yield restore_model(cache, training, evaluation, Workspace(folder / str(number)))
        except (OSError, KeyError, UserError):
            continue  # DVC's garbage collection has taken a part, or an older version of the project made it


def is_of_training(cache: Path, evaluation: dict[str, Any], training: dict[str, Any]) -> bool:
    """Return whether an evaluation, as DVC recorded it, read the files that this training wrote."""
    name = training["cmd"].split()[-1]
    written = list_files(cache, training["outs"][0])
    read = {dep["path"]: dep["md5"] for dep in evaluation["deps"]}
    return all(read.get(f"models/{name}/{file}") == written[file] for file in (*MODEL_FILES.values(), "history.csv"))


def restore_model(
    cache: Path, training: dict[str, Any], evaluation: dict[str, Any], workspace: Workspace
) -> TrainedModel:
    """Copy what a training and its evaluation wrote from the cache to `workspace`, and read it there."""
    name = training["cmd"].split()[-1]
    for file, md5 in list_files(cache, training["outs"][0]).items():
        restore_file(cache, md5, workspace.model(name) / file)
    for out in evaluation["outs"]:
        restore_file(cache, out["md5"], workspace.root / out["path"])
    (dataset,) = [dep for dep in training["deps"] if dep["path"] == "data/prepared/dataset.json"]
    restore_file(cache, dataset["md5"], workspace.dataset)
    return trained_model.read(name, workspace)


def list_files(cache: Path, out: dict[str, Any]) -> dict[str, str]:
    """Return the md5 of each file of a cached folder, by path."""
    return {entry["relpath"]: entry["md5"] for entry in json.loads(cached_file(cache, out["md5"]).read_text())}


def cached_file(cache: Path, md5: str) -> Path:
    """Return where DVC's cache keeps a file."""
    return cache / "files" / "md5" / md5[:2] / md5[2:]


def restore_file(cache: Path, md5: str, path: Path) -> None:
    """Copy a file from the cache to `path`, and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(cached_file(cache, md5), path)


if __name__ == "__main__":
    run(main)
