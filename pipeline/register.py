"""Bring every preset's model into MLflow: a run, a registered version, and the champion's alias if it earns it.

Each is keyed by content, so it is there once, however often this stage runs. Writes registry/.
"""

import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pipeline.cli import UserError, run
from pipeline.config.params import Params, load
from pipeline.config.promotion import Promotion
from pipeline.files import publish, write_json
from pipeline.guard import StageGuard
from pipeline.paths import Workspace
from pipeline.tracking import trained_model
from pipeline.tracking.descriptions import describe
from pipeline.tracking.processes import close_dead_runs
from pipeline.tracking.promotion import CHAMPION, promote
from pipeline.tracking.runs import register_version
from pipeline.tracking.store import Store, connect, lock_registry, store_error
from pipeline.tracking.trained_model import TrainedModel


def main(workspace: Workspace = Workspace()) -> None:
    """Register the models of `presets` and write registry/."""
    params = load(workspace.params)
    remove_former_reports(params.presets, workspace)
    guard = StageGuard("register", workspace)
    models = [trained_model.read(name, workspace) for name in params.presets]
    for model in models:
        require_asked_parameters(model, params)

    from mlflow.exceptions import MlflowException

    try:
        # One at a time: two that look for a run before either makes it would both make it.
        with lock_registry():
            registry = register(connect(models[0].dataset["name"]), models, params.promotion)
    except MlflowException as error:
        raise store_error(error) from None
    with publish(workspace.registry, guard.check) as folder:
        write_json(folder / "registry.json", registry)
        write_comparison(models, folder)
    champion = registry["champion"] and registry["champion"]["version"]
    for model in models:
        version, metrics = registry["models"][model.name]["version"], model.metrics
        print(
            f"{model.name:<16} val {metrics['val_accuracy']:.2%}  test {metrics['test_accuracy']:.2%}  "
            f"models:/{registry['name']}/{version}{'  champion' if version == champion else ''}"
        )


def require_asked_parameters(model: TrainedModel, params: Params) -> None:
    """Raise UserError if a model was trained with other parameters than params.yaml has.

    Between the moment when a training publishes and the one when DVC reads params.yaml again, an edit makes DVC record
    the model under parameters that it wasn't trained with.
    """
    asked: dict[str, Any] = {"seed": params.seed, "seeds_per_model": params.seeds_per_model}
    asked |= {"parameters": params.model(model.name).model_dump(mode="json")}
    if any(model.receipt[key] != value for key, value in asked.items()):
        raise UserError(
            f"{model.folder} was trained with other parameters than params.yaml has: run "
            f"`dvc repro --force train@{model.name}`, then `dvc repro`"
        )


def remove_former_reports(presets: Collection[str], workspace: Workspace) -> None:
    """Remove the reports of models that `presets` no longer has, where DVC made them and so can restore them.

    This stage depends on all of reports/: what only some checkouts still have would make it run again in the others.
    """
    lock = workspace.root / "dvc.lock"
    recorded = re.findall(r"^  evaluate@([\w-]+):$", lock.read_text(), re.MULTILINE) if lock.exists() else []
    for name in sorted(set(recorded) - set(presets)):
        if workspace.report(name).exists():
            shutil.rmtree(workspace.report(name))
            print(f"{workspace.report(name)}: removed, because presets has no {name}; DVC's cache keeps it")


def register(store: Store, models: list[TrainedModel], policy: Promotion) -> dict[str, Any]:
    """Record runs and versions, and decide on each; return what registry.json says."""
    close_dead_runs(store)
    versions = {model.name: register_version(store, model) for model in models}
    records = promote(store, list(versions.values()), policy)
    for model in models:
        version = versions[model.name]
        describe(store, model, version, records.get(str(version.version)))
    entries = {
        name: {
            "version": int(version.version),
            "run_id": version.run_id,
            "content_key": version.tags["content_key"],
            "promoted": records[str(version.version)]["promote"],
            "reasons": records[str(version.version)]["reasons"],
        }
        for name, version in versions.items()
    }
    champion = None
    if number := store.aliases().get(CHAMPION):
        champion = {"version": int(number), "model": store.version(number).tags["model"]}
    return {"name": store.name, "champion": champion, "models": entries}


def write_comparison(models: list[TrainedModel], folder: Path) -> None:
    """Write the tables that `dvc plots` draws: all models' histories, and their answers on the test images."""
    import pandas as pd

    from pipeline.evaluation.confusion import count_confusion
    from pipeline.evaluation.tables import read_table

    curves = [read_table(model.folder / "history.csv").assign(model=model.name) for model in models]
    pd.concat(curves).to_csv(folder / "learning_curves.csv", index=False)
    predictions = {model.name: read_table(model.report / "predictions.csv") for model in models}
    answers = [count_confusion(table).assign(model=name) for name, table in predictions.items()]
    pd.concat(answers).to_csv(folder / "confusion.csv", index=False)


if __name__ == "__main__":
    run(main)
