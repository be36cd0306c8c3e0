"""Which point the next trial of a shared search takes: one whose trial died, or a new one that nobody has drawn."""

import json
from collections import Counter
from collections.abc import Sequence
from itertools import chain, repeat

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from pipeline.sweep.space import Point
from pipeline.sweep.study import N_STARTUP_TRIALS

MAX_ATTEMPTS = 3  # trainings of one point that die; a point that needs too much memory kills each worker that tries it
MAX_DRAWS = 1000  # random draws until a point is new; if none is, the space has hardly any point left


def identify(point: Point) -> str:
    """Return a text that is the same for two points only if they are equal."""
    return json.dumps(point, sort_keys=True)


def find_retry(trials: Sequence[FrozenTrial], keys: set[str]) -> Point | None:
    """Return the first point with these `keys` whose trials all failed, fewer than MAX_ATTEMPTS times; else None."""
    failed = [trial.params for trial in trials if trial.state == TrialState.FAIL and trial.params.keys() == keys]
    attempts = Counter(map(identify, failed))
    others = {identify(trial.params) for trial in trials if trial.state != TrialState.FAIL}
    waiting = (point for point in failed if identify(point) not in others and attempts[identify(point)] < MAX_ATTEMPTS)
    return next(waiting, None)


def draw_point(trials: Sequence[FrozenTrial], distributions: dict[str, BaseDistribution], seed: int) -> Point | None:
    """Return a point that no trial has: the one that Optuna's TPE proposes or, if a trial has it, a random one.

    Points in training count as bad ones meanwhile, so that TPE proposes others. Return None if no point was found.
    """
    tpe = optuna.samplers.TPESampler(seed=seed, n_startup_trials=N_STARTUP_TRIALS, constant_liar=True)
    draft = optuna.create_study(direction="maximize", sampler=tpe)
    draft.add_trials(trials)
    taken = {identify(trial.params) for trial in trials}
    for sampler in chain([tpe], repeat(optuna.samplers.RandomSampler(seed), MAX_DRAWS)):
        draft.sampler = sampler
        point = draft.ask(distributions).params
        if identify(point) not in taken:
            return point
    return None
