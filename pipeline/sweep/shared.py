"""A search that many processes work on, on any number of machines: each of them could be killed at any moment.

They take turns at beginning a trial: the process that has the turn sees all trials, so no point is drawn twice and no
trial is begun beyond the budget. A trial whose process stops sending heartbeats fails, and its point is tried again.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from threading import Event, Thread

import optuna
from optuna.trial import Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from pipeline.cli import UserError
from pipeline.sweep.mlflow_view import Mirror
from pipeline.sweep.points import draw_point, find_retry
from pipeline.sweep.space import SearchDefinition
from pipeline.sweep.study import FINISHED, NoPointLeft, derive_seed, make_distributions, make_study
from pipeline.tracking.processes import PROCESS_TAG, identify_process

HEARTBEAT_S = 10
GRACE_S = 60  # a trial without a heartbeat for this time is dead
LONGEST_WAIT_S = 600  # for the turn at beginning a trial; a turn takes a fraction of a second
LAST_MIRROR_WAIT_S = 30

Turn = Callable[[str, float], AbstractContextManager[bool]]
"""`turn(name, wait)` yields whether it got the turn of this name within `wait` seconds; it ends with the block."""


class SharedStorage:
    """An Optuna storage with heartbeats, for many processes that take turns by `turn`."""

    def __init__(self, storage: optuna.storages.RDBStorage, turn: Turn):
        self._storage, self._turn, self._process = storage, turn, identify_process()

    def open_study(self, definition: SearchDefinition, inputs_sha256: str, mirror: Mirror) -> optuna.Study:
        """Return this search's study, made if it is missing; leave the trials of other processes alone."""
        with self._my_turn():
            study = make_study(self._storage, definition, inputs_sha256)
        print(f"search {study.study_name}, shared by all that have the same code, data and params.yaml", flush=True)
        return study

    def begin_trial(self, study: optuna.Study, definition: SearchDefinition) -> Trial | None:
        """Return a trial to train; None if other processes train the rest of the budget.

        Raise NoPointLeft if all points were drawn and none is being trained.
        """
        distributions = make_distributions(definition)
        with self._my_turn(), without_warnings():
            fail_dead_trials(study)
            trials = study.get_trials(deepcopy=False)
            if not any(trial.state == TrialState.WAITING for trial in trials):
                running = sum(trial.state == TrialState.RUNNING for trial in trials)
                if running + sum(trial.state in FINISHED for trial in trials) >= definition.sweep.trials:
                    return None
                point = find_retry(trials, set(distributions)) or draw_point(
                    trials, distributions, derive_seed(definition.params.seed, len(trials))
                )
                if point is None and running:
                    return None
                if point is None:
                    raise NoPointLeft
                study.enqueue_trial(point)
            # This takes the first waiting trial: the one from above, or that of a process that was killed here.
            trial = study.ask(distributions)
            self._storage.record_heartbeat(trial._trial_id)
            trial.set_user_attr(PROCESS_TAG, self._process)
            return trial

    @contextmanager
    def keep_alive(self, trial: Trial) -> Iterator[None]:
        """Send the trial's heartbeats while the block runs; skip a heartbeat that the storage refuses."""
        ended = Event()

        def beat() -> None:
            while not ended.wait(HEARTBEAT_S):
                with suppress(SQLAlchemyError, optuna.exceptions.StorageInternalError):
                    self._storage.record_heartbeat(trial._trial_id)

        Thread(target=beat, daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def close_trials(self, study: optuna.Study) -> bool:
        """Mark this process' own running trials as failed, so that others try their points at once."""
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        own = [trial for trial in running if trial.user_attrs.get(PROCESS_TAG) == self._process]
        for trial in own:
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        return bool(own)

    def take_turns(self, mirror: Mirror) -> Mirror:
        """Return a `mirror` that is skipped while another process runs it; any process shows all trials."""

        def call(study: optuna.Study, status: str) -> None:
            wait = 0 if status == "RUNNING" else LAST_MIRROR_WAIT_S
            with self._turn(f"MLflow {study.study_name}", wait) as is_mine:
                if is_mine:
                    mirror(study, status)

        return call

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        with self._turn("trials", LONGEST_WAIT_S) as is_mine:
            if not is_mine:
                raise UserError(
                    f"other processes have kept the sweep's storage busy for {LONGEST_WAIT_S} seconds: run "
                    "`make sweep` again"
                )
            yield


def fail_dead_trials(study: optuna.Study) -> None:
    """Mark as failed the trials whose process has died; only the process that has the turn may do so.

    A trial gets its first heartbeat, then its process' tag, in the turn in which it begins. If the tag is missing, the
    process died before it was set; Optuna, which only looks for old heartbeats, could wait for such a trial for ever.
    """
    optuna.storages.fail_stale_trials(study)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if PROCESS_TAG not in trial.user_attrs:
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Keep Optuna from warning of heartbeats: that they may change, and that only its own loop sends them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", message="Heartbeat of storage")
        yield
