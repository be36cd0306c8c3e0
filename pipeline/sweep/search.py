"""Search the space `sweep` of params.yaml for one model's best validation accuracy; a killed search can be continued.

This isn't a stage: it reads data/prepared/ and writes none of the pipeline's files. Optuna's storage is the truth:
sweep.db for one process at a time, or the database in SWEEP_STORAGE for any number of processes. MLflow's runs are a
view of it. Only the training and validation images are read.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from types import FrameType

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from pipeline.cli import UserError
from pipeline.code import format_description
from pipeline.config.params import Params
from pipeline.data.prepared import TrainingData, load_training_data
from pipeline.data.splits import count_validation_images
from pipeline.files import read_json, sha256_of
from pipeline.paths import CODE, Workspace, project_root
from pipeline.sweep import mlflow_view, space
from pipeline.sweep.mlflow_view import Mirror, tolerant
from pipeline.sweep.space import SearchDefinition
from pipeline.sweep.study import FINISHED, NoPointLeft, OwnStorage, SweepStorage, finished_trials
from pipeline.sweep.trial import AfterEpoch, run_trial
from pipeline.training.fit import use_threads

WAIT_S = 10  # between two checks whether the trials of other processes have finished or died


def main(workspace: Workspace = Workspace()) -> None:
    """Run the sweep of params.yaml, or continue it."""
    definition = space.read_definition(workspace.params)
    require_prepared_data(definition.params, workspace)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of networks that are built in a loop
    # If a query is interrupted, SQLAlchemy logs a stack trace while it closes the cursor; nothing is lost.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    mirror, root = tolerant(mlflow_view.mirror), project_root()
    if address := os.environ.get("SWEEP_STORAGE"):
        from pipeline.sweep.postgresql import open_storage

        with open_storage(address) as storage:
            return sweep(definition, workspace, storage, mirror)
    try:
        # One sweep at a time, so any trial still marked RUNNING at start-up is left over from a killed sweep.
        with FileLock(root / "sweep.db.lock", blocking=False):
            sweep(definition, workspace, OwnStorage(root), mirror)
    except Timeout:
        raise UserError("another sweep is running in this project: wait for it, or end it") from None


def require_prepared_data(params: Params, workspace: Workspace) -> None:
    """Raise UserError unless the prepared data are those that params.yaml asks for."""
    dataset = read_json(workspace.dataset)
    images = {split: entry["images"] for split, entry in dataset["splits"].items()}
    asked = count_validation_images(params.validation_images, images["train"] + images["val"])
    # Groups stay whole, so the number of validation images is rarely exactly the one that was asked for.
    was_asked, has_groups = dataset.get("validation_images", images["val"]), "validation_images" in dataset
    found = dataset["name"], dataset["image_shape"], dataset["resize"], dataset["seed"], was_asked, has_groups
    wanted = params.dataset, list(params.data.image_shape), params.data.resize, params.seed, asked, params.has_groups
    if found != wanted:
        raise UserError(
            f"{workspace.prepared} was made with another dataset, seed, validation_images or writers than params.yaml "
            "has: run `dvc repro preprocess`"
        )


def hash_inputs(workspace: Workspace, threads: int) -> str:
    """Return a hash of what decides a trial's result besides its parameters: data, training code and threads."""
    return sha256(f"{sha256_of(workspace.dataset)}{format_description('train', CODE)}{threads}".encode()).hexdigest()


def sweep(definition: SearchDefinition, workspace: Workspace, storage: SweepStorage, mirror: Mirror) -> None:
    """Search until `trials` trials are finished in all, and print the command that applies the best one.

    `mirror` copies the state of Optuna's storage to MLflow after each epoch.
    """
    interrupts, mirror = catch_interrupts(), storage.take_turns(mirror)

    def after_epoch(study: optuna.Study) -> None:
        with interrupts.hold():
            mirror(study, "RUNNING")

    use_threads(definition.params.threads)
    study = storage.open_study(definition, hash_inputs(workspace, definition.params.threads), mirror)
    status = "FAILED"
    try:
        search(study, definition, storage, load_training_data(workspace.prepared), after_epoch)
        if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            raise UserError("no trial was trained to its end: search other values, such as a smaller learning_rate")
        command = space.format_command(definition, study.best_params)
        study.set_user_attr("best", command)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        print(
            f"interrupted: {len(finished_trials(study))} of {definition.sweep.trials} trials are finished; "
            "`make sweep` goes on from there",
            file=sys.stderr,
        )
        sys.exit(130)
    finally:
        interrupts.held = True  # until the end: what follows is short
        storage.close_trials(study)
        mirror(study, status)
    print(
        f"best of {len(finished_trials(study))} trials: trial {study.best_trial.number}, "
        f"val_accuracy {study.best_value:.4f}. To run the pipeline with it:\n{command}"
    )


class Interrupts:
    """Turn Ctrl-C and SIGTERM into a KeyboardInterrupt: at once or, inside a `hold` block, at the end of the block.

    Python drops an exception that is raised inside a destructor, and destructors often run between two trainings. So
    `hold` also raises for an interrupt that came before its block.
    """

    def __init__(self) -> None:
        self.came = self.held = False

    def take(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: note the interrupt, and raise KeyboardInterrupt unless interrupts are held."""
        self.came = True
        if not self.held:
            raise KeyboardInterrupt

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Let the block end before an interrupt: if MLflow is interrupted in a write, its database stays locked."""
        self.held = True
        try:
            yield
        finally:
            self.held = False
        if self.came:
            raise KeyboardInterrupt


def catch_interrupts() -> Interrupts:
    """Turn Ctrl-C and SIGTERM into a KeyboardInterrupt from now on; return the object that can hold them."""
    interrupts = Interrupts()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupts.take)
    return interrupts


def search(
    study: optuna.Study,
    definition: SearchDefinition,
    storage: SweepStorage,
    data: TrainingData,
    after_epoch: AfterEpoch,
) -> None:
    """Try points until `trials` trials are finished; `after_epoch` is called after each epoch and each trial."""
    trials, is_waiting = definition.sweep.trials, False
    while (count := len(finished_trials(study))) < trials:
        try:
            trial = storage.begin_trial(study, definition)
        except NoPointLeft:
            print(f"no point of the space is left: {count} of {trials} trials are finished", flush=True)
            return
        if trial is None:
            if not is_waiting:
                print("the last trials run in other processes: this one waits, in case one of them dies", flush=True)
            time.sleep(WAIT_S)
        else:
            with storage.keep_alive(trial):
                try_point(study, trial, definition, data, after_epoch)
        is_waiting = trial is None
        after_epoch(study)


def try_point(
    study: optuna.Study, trial: Trial, definition: SearchDefinition, data: TrainingData, after_epoch: AfterEpoch
) -> None:
    """Train the trial's point, and store its result unless another process has marked the trial as dead meanwhile."""
    number = len(study.get_trials(deepcopy=False, states=(*FINISHED, TrialState.RUNNING)))
    print(
        f"trial {trial.number}, {number} of {definition.sweep.trials}: {space.format_point(trial.params)}", flush=True
    )
    candidate = space.make_candidate(definition, trial.params)
    try:
        value, state = run_trial(trial, candidate, data, definition.params.seed, after_epoch)
        finished = study.tell(trial, value if state == TrialState.COMPLETE else None, state, skip_if_finished=True)
        is_kept = finished.state == state
    except UpdateFinishedTrialError:
        is_kept = False
    if not is_kept:
        print(
            f"trial {trial.number} was taken for dead, and its point is tried again: this result is left out",
            flush=True,
        )
