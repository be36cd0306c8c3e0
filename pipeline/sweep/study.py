"""The study of a search in Optuna's storage: how to make or find it, which trials count; the storage of one process."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from pipeline.sweep import space
from pipeline.sweep.mlflow_view import Mirror
from pipeline.sweep.space import SearchDefinition

# Random trials before Optuna's sampler and pruner use the results; its default of 10 would be a whole sweep.
N_STARTUP_TRIALS = 5
FIRST_PRUNED_EPOCH = 2  # the first epoch says more about the learning rate's warm-up than about the result
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class SweepStorage(Protocol):
    """Where a search's study is, and how the processes that work on it share its trials."""

    def open_study(self, definition: SearchDefinition, inputs_sha256: str, mirror: Mirror) -> optuna.Study:
        """Return this search's study, made if it is missing."""

    def begin_trial(self, study: optuna.Study, definition: SearchDefinition) -> Trial | None:
        """Return a trial to train; None if other processes train the rest; raise NoPointLeft if no point is left."""

    def keep_alive(self, trial: Trial) -> AbstractContextManager[None]:
        """Show other processes that the trial is being trained, while the block runs."""

    def close_trials(self, study: optuna.Study) -> bool:
        """Mark the trials as failed that this process leaves unfinished; return whether there were any."""

    def take_turns(self, mirror: Mirror) -> Mirror:
        """Return a `mirror` that only one process at a time calls, of all that share an MLflow store."""


class NoPointLeft(Exception):
    """Each point of the space was drawn."""


class OwnStorage:
    """`root`/sweep.db, for one process at a time: a continued search proposes the same points as one without a stop."""

    def __init__(self, root: Path):
        self._url = f"sqlite:///{root / 'sweep.db'}"

    def open_study(self, definition: SearchDefinition, inputs_sha256: str, mirror: Mirror) -> optuna.Study:
        """Return this search's study; first close trials that killed sweeps left running, and show them by `mirror`."""
        storage = optuna.storages.RDBStorage(self._url)
        for other in optuna.get_all_study_names(storage):
            left = optuna.load_study(study_name=other, storage=storage)
            if self.close_trials(left):
                mirror(left, "KILLED")
        return make_study(storage, definition, inputs_sha256)

    def begin_trial(self, study: optuna.Study, definition: SearchDefinition) -> Trial:
        """Return the next trial, drawn by the seed and the number of finished trials."""
        draw = derive_seed(definition.params.seed, len(finished_trials(study)))
        study.sampler = optuna.samplers.TPESampler(seed=draw, n_startup_trials=N_STARTUP_TRIALS)
        return study.ask(make_distributions(definition))

    def keep_alive(self, trial: Trial) -> AbstractContextManager[None]:
        """Do nothing: no other process looks at the trial."""
        return nullcontext()

    def close_trials(self, study: optuna.Study) -> bool:
        """Mark all running trials as failed, so that they don't count; return whether there were any."""
        dead = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for trial in dead:
            study.tell(trial.number, state=TrialState.FAIL)
        return bool(dead)

    def take_turns(self, mirror: Mirror) -> Mirror:
        """Return `mirror` itself."""
        return mirror


def make_study(storage: optuna.storages.BaseStorage, definition: SearchDefinition, inputs_sha256: str) -> optuna.Study:
    """Return this search's study in a storage, made if it is missing, with the attributes that its view needs."""
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


def derive_seed(seed: int, count: int) -> int:
    """Return the seed of one draw, from the parameter `seed` and the number of trials before it."""
    return int(np.random.SeedSequence((seed, count)).generate_state(1)[0])


def make_distributions(definition: SearchDefinition) -> dict[str, BaseDistribution]:
    """Return the space as Optuna's distributions, by key."""
    return {key: space.make_distribution(dimension) for key, dimension in sorted(definition.sweep.space.items())}


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that count: those trained to the end, and those that were pruned."""
    return study.get_trials(deepcopy=False, states=FINISHED)
