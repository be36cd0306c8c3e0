"""The study of a search in Optuna's storage, sweep.db: opened, its dead trials closed, its finished trials listed."""

from pathlib import Path
from uuid import uuid4

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.sweep import space
from pipeline.sweep.mlflow_view import Mirror
from pipeline.sweep.space import SearchDefinition

# Trials at random before Optuna's sampler and pruner judge by them; its default of 10 is a whole sweep.
N_STARTUP_TRIALS = 5
FIRST_PRUNED_EPOCH = 2  # the first epoch says more about the learning rate's warm-up than about the result
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


def open_study(definition: SearchDefinition, inputs_sha256: str, root: Path, mirror: Mirror) -> optuna.Study:
    """Return this search's study in `root`/sweep.db, made if it is missing.

    Trials that killed sweeps left running are closed first, and shown by `mirror`.
    """
    storage = optuna.storages.RDBStorage(f"sqlite:///{root / 'sweep.db'}")
    for other in optuna.get_all_study_names(storage):
        left = optuna.load_study(study_name=other, storage=storage)
        if close_dead_trials(left):
            mirror(left, "KILLED")
    study = optuna.create_study(
        storage=storage,
        study_name=space.name_study(definition, inputs_sha256),
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(N_STARTUP_TRIALS, FIRST_PRUNED_EPOCH),
        load_if_exists=True,
    )
    attributes = {"id": uuid4().hex, "dataset": definition.params.dataset, "model": definition.sweep.model}
    for key, value in attributes.items():
        study.set_user_attr(key, study.user_attrs.get(key, value))
    return study


def close_dead_trials(study: optuna.Study) -> bool:
    """Mark trials that no process runs any more as failed, so that they don't count; return whether there were any."""
    dead = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for trial in dead:
        study.tell(trial.number, state=TrialState.FAIL)
    return bool(dead)


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that count: those trained to the end, and those that were pruned."""
    return study.get_trials(deepcopy=False, states=FINISHED)
