"""A sweep's view in MLflow: one parent run and a child run for each trial, brought up to date from Optuna's storage."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import optuna
from optuna.trial import FrozenTrial

from pipeline.cli import first_line
from pipeline.tracking.processes import PROCESS_TAG, identify_process
from pipeline.tracking.run_entries import to_milliseconds
from pipeline.tracking.store import Store, connect

if TYPE_CHECKING:
    from mlflow.entities import Run

MAX_TRIALS = 50_000  # the most that MLflow returns at once
Mirror = Callable[[optuna.Study, str], None]  # the second argument is the parent run's status


def tolerant(call: Mirror) -> Mirror:
    """Wrap `call`: at its first failure, print one warning, and then do nothing: MLflow must not stop a search."""
    works = True

    def attempt(study: optuna.Study, status: str) -> None:
        nonlocal works
        try:
            if works:
                call(study, status)
        except Exception as error:  # a store can fail in as many ways as it has layers
            works = False
            print(
                f"warning: MLflow doesn't take this sweep's runs ({first_line(error)}); the sweep goes on, and "
                "the next `make sweep` records them",
                file=sys.stderr,
            )

    return attempt


def mirror(study: optuna.Study, status: str) -> None:
    """Bring MLflow up to date with the storage: one parent run, of this status, and a child run for each trial.

    Finished runs stay as they are, and new entries have the trial's own times, so this may be called at any time.
    """
    store = connect(study.user_attrs["dataset"])
    parent = update_parent(store, study, status)
    found = store.search_runs(f"tags.`mlflow.parentRunId` = '{parent}'", limit=MAX_TRIALS)
    children = {child.data.tags["mlflow.runName"]: child for child in found}
    for trial in study.get_trials(deepcopy=False):
        child = children.get(f"trial {trial.number}")
        if child is None or child.info.status == "RUNNING":
            log_trial(store, parent, child, trial, status)


def update_parent(store: Store, study: optuna.Study, status: str) -> str:
    """Return the id of the sweep's run, which has the study's attributes and this status; make it if it is missing."""
    from mlflow.entities import RunTag

    tags = {f"sweep.{key}": str(value) for key, value in study.user_attrs.items()}
    tags[PROCESS_TAG] = identify_process()  # so that runs that a killed sweep left can be recognised
    parent = store.find_run(f"tags.`sweep.id` = '{tags['sweep.id']}'") or store.client.create_run(
        store.experiment_id, tags=tags, run_name=f"sweep {tags['sweep.model']}"
    )
    run_id = str(parent.info.run_id)
    store.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
    if parent.info.status != status and status == "RUNNING":
        store.client.update_run(run_id, status)
    elif parent.info.status != status:
        store.client.set_terminated(run_id, status)
    return run_id


def log_trial(store: Store, parent: str, child: "Run | None", trial: FrozenTrial, status: str) -> None:
    """Log one trial to its run, `child`, or to a new run; end the run if the trial has ended."""
    from mlflow.entities import Metric, Param, RunTag

    if child is None:
        started = to_milliseconds(trial.datetime_start) if trial.datetime_start else None
        process = trial.user_attrs.get(PROCESS_TAG, identify_process())  # of several processes, the trial's own
        tags = {"mlflow.parentRunId": parent, PROCESS_TAG: process}
        child = store.client.create_run(store.experiment_id, started, tags, f"trial {trial.number}")
    store.client.log_batch(
        child.info.run_id,
        [
            Metric("val_accuracy", value, to_milliseconds(trial.user_attrs[f"epoch {epoch}"]), epoch)
            for epoch, value in trial.intermediate_values.items()
        ],
        [Param(key, str(value)) for key, value in trial.params.items()],
        [RunTag("sweep.state", trial.state.name)],
    )
    if trial.state.is_finished():
        ended = to_milliseconds(trial.datetime_complete) if trial.datetime_complete else None
        store.client.set_terminated(child.info.run_id, child_status(trial, status), ended)


def child_status(trial: FrozenTrial, status: str) -> str:
    """Return how a finished trial's run ended, in a sweep of this status."""
    if trial.state.name in ("COMPLETE", "PRUNED"):
        return "FINISHED"
    # A failed trial was killed, unless its error is the one that ends this search.
    return "FAILED" if status == "FAILED" else "KILLED"
