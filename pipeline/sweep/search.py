"""Search the space `sweep` of params.yaml for one model's best validation accuracy; a killed search goes on.

Not a stage: it reads data/prepared/ and writes none of the pipeline's files. Optuna's storage, sweep.db, is the
truth; MLflow's runs are a view of it. Only the training and validation images are read.
"""

import logging
import signal
import sys
from collections.abc import Callable
from uuid import uuid4

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, Trial, TrialState

from pipeline import train
from pipeline.cli import UserError, run
from pipeline.config import params as parameters
from pipeline.config.params import Params
from pipeline.files import read_json, sha256_of
from pipeline.paths import project_root
from pipeline.sweep import mlflow_view as sweep_runs
from pipeline.sweep import space
from pipeline.sweep.mlflow_view import Mirror, tolerant

STARTUP = 5  # trials at random before Optuna's sampler and pruner judge by them; its default of 10 is a whole sweep
FIRST_PRUNED_EPOCH = 2  # the first epoch says more about the learning rate's warm-up than about the result
After = Callable[[optuna.Study], None]
DONE = (TrialState.COMPLETE, TrialState.PRUNED)


def main() -> None:
    content = parameters.read()
    params = parameters.check(content, "params.yaml")
    if params.sweep is None:
        raise UserError(
            "params.yaml has no `sweep`: write {model: …, trials: …, space: {key: {low: …, high: …}}} there"
        )
    space.check(content, params)
    dataset = read_json(train.PREPARED / "dataset.json")
    if (dataset["name"], dataset["seed"]) != (params.dataset, params.seed):
        raise UserError(f"{train.PREPARED} isn't of params.yaml's dataset and seed: run `dvc repro preprocess`")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of networks that are built in a loop
    try:
        # One sweep at a time, so that a trial that is marked as running when we start has nobody who runs it.
        with FileLock(project_root() / "sweep.db.lock", blocking=False):
            sweep(content, params, dataset["classes"])
    except Timeout:
        raise UserError("another sweep is running in this project: wait for it, or end it") from None


def sweep(content: dict, params: Params, classes: int) -> None:
    """Search until `trials` are finished in all, and print the command that applies the best."""
    mirror, interrupts = tolerant(sweep_runs.mirror), interruptions()

    def after(study: optuna.Study) -> None:
        mirror(study, "RUNNING")
        if interrupts:
            raise KeyboardInterrupt

    study = open_study(content, params, mirror)
    status = "FAILED"
    try:
        search(study, content, params, classes, after)
        if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            raise UserError("no trial was trained to its end: search other values, such as a smaller learning_rate")
        command = space.command(study.best_params, content, params)
        study.set_user_attr("best", command)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        done = f"{len(finished(study))} of {params.sweep.trials} trials are finished"
        print(f"interrupted: {done}; `make sweep` goes on from there", file=sys.stderr)
        sys.exit(130)
    finally:
        close_dead_trials(study)
        mirror(study, status)
    best = f"trial {study.best_trial.number}, val_accuracy {study.best_value:.4f}"
    print(f"best of {len(finished(study))} trials: {best}. To run the pipeline with it:\n{command}")


def interruptions() -> list[int]:
    """Make Ctrl-C and SIGTERM a KeyboardInterrupt, and note it in the list that is returned.

    An exception is lost where Python happens to be in a destructor, which is often so between two trainings.
    """
    seen: list[int] = []

    def interrupt(number: int, _) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    return seen


def open_study(content: dict, params: Params, mirror: Mirror) -> optuna.Study:
    """This search's study in sweep.db, made if it is missing, after closing what killed sweeps left running."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{project_root() / 'sweep.db'}")
    for other in optuna.get_all_study_names(storage):
        left = optuna.load_study(study_name=other, storage=storage)
        if close_dead_trials(left):
            mirror(left, "KILLED")
    name = space.study_name(content, params, sha256_of(train.PREPARED / "dataset.json"))
    pruner = optuna.pruners.MedianPruner(STARTUP, FIRST_PRUNED_EPOCH)
    study = optuna.create_study(
        storage=storage, study_name=name, direction="maximize", pruner=pruner, load_if_exists=True
    )
    for key, value in {"id": uuid4().hex, "dataset": params.dataset, "model": params.sweep.model}.items():
        study.set_user_attr(key, study.user_attrs.get(key, value))
    return study


def close_dead_trials(study: optuna.Study) -> bool:
    """Mark trials that nobody runs any more as failed, so that they don't count; whether there were any."""
    dead = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for trial in dead:
        study.tell(trial.number, state=TrialState.FAIL)
    return bool(dead)


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count: those trained to the end, and those that were pruned."""
    return study.get_trials(deepcopy=False, states=DONE)


def search(study: optuna.Study, content: dict, params: Params, classes: int, after: After) -> None:
    """Try points until `trials` are finished; `after` is called after each epoch and each trial."""
    distributions = {key: space.distribution(dimension) for key, dimension in sorted(params.sweep.space.items())}
    while (count := len(finished(study))) < params.sweep.trials:
        # Drawn by the seed and the number of finished trials, a search that was killed proposes what it would have.
        seed = int(np.random.SeedSequence((params.seed, count)).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
        trial = study.ask(distributions)
        print(f"trial {trial.number}, {count + 1} of {params.sweep.trials}: {space.shown(trial.params)}", flush=True)
        value, state = attempt(trial, space.candidate(content, params, trial.params), params, classes, after)
        study.tell(trial, value if state == TrialState.COMPLETE else None, state)
        after(study)


def attempt(trial: Trial, block, params: Params, classes: int, after: After):
    """Train one candidate as the stage does: its last val_accuracy, or None, and how the trial ended."""
    for twin in finished(trial.study):
        if twin.params == trial.params:  # training is deterministic: it would give the same again
            print(f"trial {trial.number} is trial {twin.number} again: val_accuracy {twin.value}", flush=True)
            for epoch, accuracy in twin.intermediate_values.items():
                trial.set_user_attr(f"epoch {epoch}", twin.user_attrs[f"epoch {epoch}"])
                trial.report(accuracy, epoch)
            return twin.value, twin.state

    def watch(epoch: dict) -> None:
        trial.set_user_attr(f"epoch {epoch['epoch']}", epoch["finished"])
        trial.report(epoch["metrics"]["val_accuracy"], epoch["epoch"])
        after(trial.study)
        if epoch["epoch"] < block.epochs and trial.should_prune():
            raise optuna.TrialPruned

    try:
        epochs = train.trained(f"trial {trial.number}", block, classes, params.seed, watch)[1]
    except (optuna.TrialPruned, train.Diverged) as end:
        reason = "it diverged" if isinstance(end, train.Diverged) else "so far worse than the median of the others"
        print(f"trial {trial.number} is given up: {reason}", flush=True)
        return None, TrialState.PRUNED
    return epochs[-1]["metrics"]["val_accuracy"], TrialState.COMPLETE


if __name__ == "__main__":
    run(main)
