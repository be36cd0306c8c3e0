"""Rebuild MLflow's view (`make rebuild-tracking`): every run, version and alias for which the disk has the files.

Sources: the workspace, DVC's cache with its record of past runs, and the journal promotions.jsonl, which records the
order of the versions and the champions. Existing entries in a store are not overwritten: neither a version's decision
nor the champion.
"""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.cli import UserError, run
from pipeline.config.credits import NO_CREDIT, Credit, find_credit
from pipeline.config.params import load
from pipeline.data.dvc_cache import find_cache, list_files, read_runs, restore_file
from pipeline.paths import Workspace
from pipeline.tracking import trained_model
from pipeline.tracking.champions import last_champion, last_decisions
from pipeline.tracking.descriptions import describe
from pipeline.tracking.journal import OWN_STORE, Event, append_event, read_events
from pipeline.tracking.location import find_other_folder, store_file, store_label
from pipeline.tracking.lock import lock_registry
from pipeline.tracking.placeholders import delete_placeholders, use_up_numbers
from pipeline.tracking.registry import CHAMPION, DECISION_TAG, begin_rebuild, settle, tag_decision
from pipeline.tracking.runs import register_version
from pipeline.tracking.store import Store, connect, translate_errors
from pipeline.tracking.trained_model import MODEL_FILES, TrainedModel

FETCH_CHAMPION = (
    "  version {} is the journal's champion of {}. If it was pushed with an earlier commit: `dvc pull --run-cache "
    "--all-commits`, `rm -r mlflow.db mlruns`, `make rebuild-tracking`; else promote or train another one"
)


def main() -> None:
    """Rebuild each data set's part of the store; raise UserError if there is nothing to rebuild it from."""
    params = load()
    with tempfile.TemporaryDirectory() as folder, lock_registry() as require_lock:
        models = collect_models(params.presets, Path(folder))
        if not models:
            raise UserError("neither the workspace nor DVC's cache has a trained and evaluated model: run `dvc repro`")
        move_foreign_store()
        for name in sorted({model.dataset["name"] for model in models.values()}):
            own = {key: model for key, model in models.items() if model.dataset["name"] == name}
            with translate_errors():
                rebuild(connect(name, require_lock), own, find_credit(name, params.credits))


def move_foreign_store() -> None:
    """Move the project's store aside if it belongs to the folder from which this one was copied or moved."""
    other, file = find_other_folder(), store_file()
    if other is None or file is None:
        return
    names = (file.with_name(f"{file.name}.old-{number}") for number in itertools.count(1))
    aside = next(name for name in names if not name.exists())
    file.rename(aside)
    print(f"{file.name} belonged to the folder {other}: it is {aside.name} now, and a new one is made for this folder")


def rebuild(store: Store, models: dict[str, TrainedModel], credit: Credit = NO_CREDIT) -> None:
    """Register one data set's models, by key, and restore decisions and aliases that the store has lost.

    In an empty store the versions get the numbers that they have in the journal.
    """
    is_empty = begin_rebuild(store)
    delete_placeholders(store)
    events = read_events(store_label(), store.name)
    if is_empty and not events:
        # A new store begins with the history of the project's own store.
        events = [event | {"store": store_label()} for event in read_events(OWN_STORE, store.name)]
        append_event(*events)
    decisions = last_decisions(events)
    found = match(decisions, models)
    for number, decision in sorted(decisions.items()):
        if number not in found:
            continue
        if is_empty:
            use_up_numbers(store, number - 1)
        version = register_version(store, found[number])
        if DECISION_TAG not in version.tags:
            tag_decision(store, version, decision)
            describe(store, found[number], version, credit, decision)
    if is_empty:
        use_up_numbers(store, max(decisions, default=0))
    matched = {model.key for model in found.values()}
    for model in sorted(models.values(), key=lambda model: model.receipt["started"]):
        if model.key not in matched:
            describe(store, model, register_version(store, model), credit, None)
    settle(store, events)
    print_store(store, sorted(decisions.keys() - found.keys()) if is_empty else [], last_champion(events))


def match(decisions: dict[int, Event], models: dict[str, TrainedModel]) -> dict[int, TrainedModel]:
    """Return the model of each version for which the journal has a decision, by the version's number there.

    Models with the same content come first. If serving code or pinned packages have changed since, the last version of
    the same training gets the model.
    """
    keys = {number: event.get("content_key") for number, event in decisions.items()}
    found = {number: models[key] for number, key in keys.items() if key in models}
    matched = {model.key for model in found.values()}
    trained = {model.trained_key: model for model in models.values() if model.key not in matched}
    for number, event in sorted(decisions.items(), reverse=True):
        if number not in found and event.get("trained_key") in trained:
            found[number] = trained.pop(event["trained_key"])
    return found


def print_store(store: Store, lost: list[int], champion: int | None) -> None:
    """Print what the store has now, which versions are lost, and how to bring a lost champion back."""
    aliases = store.aliases()
    print(f"{store.name}: {len(store.search_versions())} versions; " + (describe_aliases(aliases) or "no champion"))
    if lost:
        print(f"  not on this disk any more, or only with newer serving code: version {', '.join(map(str, lost))}")
    if champion in lost:
        print(FETCH_CHAMPION.format(champion, store.name))
    elif CHAMPION not in aliases:
        print("  the journal promotions.jsonl names none of them as champion: `make run` lets the gate decide")


def describe_aliases(aliases: dict[str, str]) -> str:
    """Return the aliases and their versions as a person reads them."""
    return ", ".join(f"{alias} is version {number}" for alias, number in sorted(aliases.items()))


def collect_models(names: tuple[str, ...], folder: Path) -> dict[str, TrainedModel]:
    """Return models by key, from DVC's cache (restored below `folder`) and the workspace; per key, the oldest."""
    found = list(restore_cached_models(find_cache(), folder))
    for name in names:
        try:
            found.append(trained_model.read(name))
        except UserError:
            continue  # not trained, or in the middle of a change
    found.sort(key=lambda model: model.receipt["started"], reverse=True)
    return {model.key: model for model in found}


def restore_cached_models(cache: Path, folder: Path) -> Iterator[TrainedModel]:
    """Restore each training with its evaluation that DVC's run cache records, if DVC's cache still has their files."""
    trainings, evaluations = (list(read_runs(cache, f"python -m pipeline.{name} ")) for name in ("train", "evaluate"))
    for number, (training, evaluation) in enumerate(itertools.product(trainings, evaluations)):
        try:
            if is_of_training(cache, evaluation, training):
                yield restore_model(cache, training, evaluation, Workspace(folder / str(number)))
        except (OSError, KeyError, ValueError, UserError):
            continue  # DVC's garbage collection has removed a part, or another version of the project made it


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


if __name__ == "__main__":
    run(main)
