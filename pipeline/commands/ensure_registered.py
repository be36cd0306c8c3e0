"""For `make run`: register the models here if MLflow's store lacks them, although DVC has nothing to run.

DVC only knows files. It doesn't know that a store is new, was lost, or isn't the one of the last `dvc repro`.
"""

import json
from typing import TYPE_CHECKING

from pipeline import register
from pipeline.cli import UserError, run
from pipeline.config.params import load
from pipeline.config.promotion import Promotion
from pipeline.paths import Workspace
from pipeline.tracking import trained_model
from pipeline.tracking.promotion import is_decided
from pipeline.tracking.registry import CHAMPION, STATE_TAG
from pipeline.tracking.runs import find_versions, has_artifacts
from pipeline.tracking.store import connect_existing, translate_errors
from pipeline.tracking.trained_model import TrainedModel

if TYPE_CHECKING:
    from mlflow.entities.model_registry import RegisteredModel


def main(workspace: Workspace = Workspace()) -> None:
    """Register, unless the store has each model with its files and a decision, a champion, and nothing half done."""
    params = load(workspace.params)
    models = [trained_model.read(name, workspace) for name in params.presets]
    try:
        is_complete = has_all(models, params.promotion)
    except UserError:  # `register` makes the store, or says what is wrong with it
        is_complete = False
    if not is_complete:
        register.main(workspace)


def has_all(models: list[TrainedModel], policy: Promotion) -> bool:
    """Return whether MLflow's store has the models and the gate's decisions on them."""
    store = connect_existing(models[0].dataset["name"])
    with translate_errors():
        registered = store.registered_model()
        if registered is None or not is_settled(registered):
            return False
        versions = [found for model in models for found in find_versions(store, model)[:1]]
        if len(versions) < len(models) or not all(has_artifacts(store, str(version.run_id)) for version in versions):
            return False
        # Another policy doesn't judge the champion again.
        champion = str(registered.aliases[CHAMPION])
        return all(str(version.version) == champion or is_decided(version, policy) for version in versions)


def is_settled(model: "RegisteredModel") -> bool:
    """Return whether nothing is half done, and the alias `champion` is there, on the version that the state names."""
    state = json.loads(model.tags.get(STATE_TAG, "null"))
    return bool(state) and not state["event"] and state["champions"][-1:] == [str(model.aliases.get(CHAMPION))]


if __name__ == "__main__":
    run(main)
