"""A sweep's view in MLflow: one parent run and a child run for each trial, brought up to date from Optuna's storage."""

import sys
from collections.abc import Callable

import optuna
from optuna.trial import FrozenTrial

from pipeline.tracking import store as tracking

Mirror = Callable[[optuna.Study, str], None]  # the second argument is the parent run's status


def tolerant(call: Mirror) -> Mirror:
    """`call` until it fails: then one warning, and no further call, for MLflow must not cost a search anything."""
    works = True

    def attempt(study: optuna.Study, status: str) -> None:
        nonlocal works
        try:
            if works:
                call(study, status)
        except Exception as error:  # a store can fail in as many ways as it has layers
            works = False
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            told = f"MLflow doesn't take this sweep's runs ({reason})"
            print(f"warning: {told}; it goes on, and the next `make sweep` brings them in", file=sys.stderr)

    return attempt


def mirror(study: optuna.Study, status: str) -> None:
    """Bring MLflow up to date with the storage: one parent run, of this status, and a child run for each trial.

    What is there stays, and what is logged carries the trial's own times: it may be called at any time, and again.
    """
    from mlflow.entities import RunTag

    client, experiment = tracking.connect(study.user_attrs["dataset"])
    alive = {"process": tracking.this_process()}  # so that runs that a killed sweep leaves are told from living ones
    tags = {f"sweep.{key}": value for key, value in study.user_attrs.items()} | alive
    found = client.search_runs([experiment], f"tags.`sweep.id` = '{tags['sweep.id']}'")
    parent = (found or [client.create_run(experiment, tags=tags, run_name=f"sweep {tags['sweep.model']}")])[0].info
    client.log_batch(parent.run_id, tags=[RunTag(key, value) for key, value in tags.items()])
    if parent.status != status:
        (client.update_run if status == "RUNNING" else client.set_terminated)(parent.run_id, status)
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent.run_id}'", max_results=50000)
    children = {child.data.tags["mlflow.runName"]: child for child in found}
    for trial in study.get_trials(deepcopy=False):
        child = children.get(f"trial {trial.number}")
        if child is None or child.info.status == "RUNNING":
            log_trial(client, experiment, parent.run_id, child, trial, status)


def log_trial(client, experiment: str, parent: str, child, trial: FrozenTrial, status: str) -> None:
    """Log one trial to its run, `child`, or to a new one; end that if the trial has ended."""
    from mlflow.entities import Metric, Param, RunTag

    if child is None:
        started = round(trial.datetime_start.timestamp() * 1000)
        tags = {"mlflow.parentRunId": parent, "process": tracking.this_process()}
        child = client.create_run(experiment, started, tags, f"trial {trial.number}")
    client.log_batch(
        child.info.run_id,
        [
            Metric("val_accuracy", value, tracking.milliseconds(trial.user_attrs[f"epoch {epoch}"]), epoch)
            for epoch, value in trial.intermediate_values.items()
        ],
        [Param(key, str(value)) for key, value in trial.params.items()],
        [RunTag("sweep.state", trial.state.name)],
    )
    if trial.state.is_finished():
        # A failed trial was killed, unless it is the error that is just ending this search.
        how = "FINISHED" if trial.state.name in ("COMPLETE", "PRUNED") else "FAILED" if status == "FAILED" else "KILLED"
        client.set_terminated(child.info.run_id, how, round(trial.datetime_complete.timestamp() * 1000))
