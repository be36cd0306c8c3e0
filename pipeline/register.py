"""Record every preset's model in MLflow: a run, a registered version, and the alias champion if the gate promotes it.

Runs and versions are keyed by content, so running this stage again adds none. Writes registry/.
"""

import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pipeline.cli import UserError, run
from pipeline.config.credits import NO_CREDIT, Credit, find_credit
from pipeline.config.params import Params, load
from pipeline.config.promotion import Promotion
from pipeline.files import publish, write_json
from pipeline.guard import StageGuard
from pipeline.paths import Workspace
from pipeline.tracking import trained_model
from pipeline.tracking.descriptions import describe
from pipeline.tracking.lock import lock_registry
from pipeline.tracking.processes import close_dead_runs
from pipeline.tracking.promotion import Record, promote
from pipeline.tracking.registry import CHAMPION
from pipeline.tracking.runs import register_version, remove_twins
from pipeline.tracking.store import Store, connect, translate_errors
from pipeline.tracking.trained_model import TrainedModel


def main(workspace: Workspace = Workspace()) -> None:
    """Register the models of `presets`, decide on each, and write registry/."""
    params = load(workspace.params)
    remove_former_reports(params.presets, workspace)
    guard = StageGuard("register", workspace)
    models = [trained_model.read(name, workspace) for name in params.presets]
    for model in models:
        require_asked_parameters(model, params)
    name = models[0].dataset["name"]
    # One process at a time: two that search for a run before either has made it would both make it.
    with translate_errors(), lock_registry() as require_lock:
        store = connect(name, require_lock)
        numbers, records = register(store, models, params.promotion, find_credit(name, params.credits))
        champion = store.aliases().get(CHAMPION)
    with publish(workspace.registry, guard.check) as folder:
        # Leave out version numbers and the champion: another store has other numbers, and a person may move the alias.
        keys = {model.name: {"content_key": model.key} for model in models}
        write_json(folder / "registry.json", {"name": name, "models": keys})
        write_comparison(models, folder)
    for model in models:
        version, metrics = numbers[model.name], model.metrics
        print(
            f"{model.name:<16} val {metrics['val_accuracy']:.2%}  test {metrics['test_accuracy']:.2%}  "
            f"models:/{name}/{version}{'  champion' if version == champion else ''}"
        )
    print_outcome(name, champion, numbers, records)


def require_asked_parameters(model: TrainedModel, params: Params) -> None:
    """Raise UserError if a model was trained with other parameters than params.yaml has.

    If params.yaml is edited after a training publishes and before DVC reads it again, DVC records the model under
    parameters that it wasn't trained with.
    """
    asked: dict[str, Any] = {"seed": params.seed, "seeds_per_model": params.seeds_per_model}
    asked |= {"parameters": params.model(model.name).model_dump(mode="json")}
    other_threads = model.receipt["machine"].get("threads") != params.threads
    if other_threads or any(model.receipt[key] != value for key, value in asked.items()):
        raise UserError(
            f"{model.folder} was trained with other parameters than params.yaml has: run "
            f"`dvc repro --force train@{model.name}`, then `dvc repro`"
        )


def remove_former_reports(presets: Collection[str], workspace: Workspace) -> None:
    """Remove the reports of models that are no longer in `presets`, if dvc.lock has them, so that DVC can restore them.

    This stage depends on all of reports/: a report that only some checkouts have would make it run again in the others.
    """
    lock = workspace.root / "dvc.lock"
    recorded = re.findall(r"^  evaluate@([\w-]+):$", lock.read_text(), re.MULTILINE) if lock.exists() else []
    for name in sorted(set(recorded) - set(presets)):
        if workspace.report(name).exists():
            shutil.rmtree(workspace.report(name))
            print(f"{workspace.report(name)}: removed, because presets has no {name}; DVC's cache keeps it")


def register(
    store: Store, models: list[TrainedModel], policy: Promotion, credit: Credit = NO_CREDIT
) -> tuple[dict[str, str], dict[str, Record]]:
    """Record a run and a version per model, and decide on each; return versions by model and decisions by version."""
    close_dead_runs(store)
    versions = {model.name: register_version(store, model) for model in models}
    may_decide = policy.in_experiments or not is_experiment()
    records = promote(store, list(versions.values()), policy, may_decide)
    for model in models:
        version = versions[model.name]
        describe(store, model, version, credit, records.get(str(version.version)))
        remove_twins(store, model)
    return {name: str(version.version) for name, version in versions.items()}, records


def is_experiment() -> bool:
    """Return whether DVC runs this as an experiment (`dvc exp run`), in the workspace or elsewhere."""
    return "DVC_EXP_NAME" in os.environ


def print_outcome(name: str, champion: str | None, numbers: dict[str, str], records: dict[str, Record]) -> None:
    """Print the champion if it isn't one of these versions, why there is none, and what an experiment leaves open."""
    undecided = [number for number in numbers.values() if number not in records]
    if champion is None:
        reasons = [f"version {number}: {record['reasons'][0]}" for number, record in records.items()]
        print("\n  ".join([f"{name} has no champion; `make promote VERSION=…` makes a version champion", *reasons]))
    elif champion not in numbers.values():
        print(f"the champion is models:/{name}/{champion}")
    if undecided:
        print(
            f"an experiment moves no alias: `make run` lets the gate decide on version {', '.join(undecided)}, "
            f"`make promote VERSION={undecided[0]}` promotes"
        )


def write_comparison(models: list[TrainedModel], folder: Path) -> None:
    """Write the tables that `dvc plots` draws: all models' histories, and their answers on the test images."""
    import pandas as pd

    from pipeline.evaluation.confusion import count_confusion
    from pipeline.evaluation.tables import read_predictions, read_table

    curves = [read_table(model.folder / "history.csv").assign(model=model.name) for model in models]
    pd.concat(curves).to_csv(folder / "learning_curves.csv", index=False)
    predictions = {model.name: read_predictions(model.report / "predictions.csv", None) for model in models}
    answers = [count_confusion(table).assign(model=name) for name, table in predictions.items()]
    pd.concat(answers).to_csv(folder / "confusion.csv", index=False)


if __name__ == "__main__":
    run(main)
