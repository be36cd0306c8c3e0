from datetime import datetime

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from pipeline.sweep import mlflow_view
from pipeline.tracking.processes import identify_process
from pipeline.tracking.run_entries import to_milliseconds

FINISHED = "2026-01-02T03:04:01+00:00"


@pytest.fixture
def study() -> optuna.Study:
    """A study with the attributes that a sweep sets, but without a trial."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for key, value in {"id": "some", "dataset": "digits", "model": "tiny"}.items():
        study.set_user_attr(key, value)
    return study


def start_trial(study: optuna.Study, accuracies: tuple[float, ...] = (0.25, 0.5)) -> optuna.Trial:
    trial = study.ask({"dropout": FloatDistribution(0.0, 0.5)})
    for epoch, accuracy in enumerate(accuracies, start=1):
        trial.set_user_attr(f"epoch {epoch}", FINISHED)
        trial.report(accuracy, epoch)
    return trial


def split_runs(store) -> tuple:
    """The only run of the sweep, and the runs of its trials by name."""
    found = store.search_runs("")
    (parent,) = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    children = {run.info.run_name: run for run in found if run is not parent}
    assert {child.data.tags["mlflow.parentRunId"] for child in children.values()} <= {parent.info.run_id}
    assert len(children) == len(found) - 1
    return parent, children


def test_a_trial_is_shown_while_it_runs_and_completed_when_it_ends(store, study):
    trial = start_trial(study, (0.25,))
    mlflow_view.mirror(study, "RUNNING")
    parent, children = split_runs(store)
    assert (parent.info.run_name, parent.info.status) == ("sweep tiny", "RUNNING")
    tags = {"sweep.id": "some", "sweep.dataset": "digits", "sweep.model": "tiny", "process": identify_process()}
    assert {key: parent.data.tags[key] for key in tags} == tags
    child = children["trial 0"]
    assert (child.info.status, child.data.metrics) == ("RUNNING", {"val_accuracy": 0.25})
    assert child.data.params == {"dropout": str(trial.params["dropout"])}
    assert (child.data.tags["sweep.state"], child.data.tags["process"]) == ("RUNNING", identify_process())
    trial.set_user_attr("epoch 2", FINISHED)
    trial.report(0.5, 2)
    study.tell(trial, 0.5)
    study.set_user_attr("best", "a command")
    mlflow_view.mirror(study, "FINISHED")
    parent, children = split_runs(store)
    assert (parent.info.status, parent.data.tags["sweep.best"]) == ("FINISHED", "a command")
    ended = children["trial 0"]
    assert (ended.info.run_id, ended.info.status, ended.data.tags["sweep.state"]) == (
        child.info.run_id, "FINISHED", "COMPLETE",
    )  # fmt: skip
    frozen = study.trials[0]
    assert isinstance(frozen.datetime_start, datetime)
    assert ended.info.start_time == to_milliseconds(frozen.datetime_start)
    assert ended.info.end_time == to_milliseconds(frozen.datetime_complete)
    history = store.client.get_metric_history(ended.info.run_id, "val_accuracy")
    assert [(point.step, point.value, point.timestamp) for point in history] == [
        (1, 0.25, to_milliseconds(FINISHED)), (2, 0.5, to_milliseconds(FINISHED)),
    ]  # fmt: skip


def test_a_trial_of_another_process_is_shown_as_its_own(store, study):
    start_trial(study).set_user_attr("process", "other/machine 1@2")
    mlflow_view.mirror(study, "RUNNING")
    parent, children = split_runs(store)
    assert children["trial 0"].data.tags["process"] == "other/machine 1@2" != parent.data.tags["process"]


def test_a_sweep_that_goes_on_runs_again_and_leaves_ended_trials_alone(store, study):
    study.tell(start_trial(study), 0.5)
    mlflow_view.mirror(study, "KILLED")
    _, children = split_runs(store)
    store.client.set_tag(children["trial 0"].info.run_id, "sweep.state", "as it was")
    start_trial(study)
    mlflow_view.mirror(study, "RUNNING")
    parent, children = split_runs(store)
    assert parent.info.status == "RUNNING"
    assert {name: child.data.tags["sweep.state"] for name, child in children.items()} == {
        "trial 0": "as it was", "trial 1": "RUNNING",
    }  # fmt: skip


def test_mirroring_again_with_the_same_status_does_not_end_the_run_again(store, study):
    mlflow_view.mirror(study, "FINISHED")
    first, _ = split_runs(store)
    mlflow_view.mirror(study, "FINISHED")
    again, _ = split_runs(store)
    assert (again.info.end_time, again.info.status) == (first.info.end_time, "FINISHED")


def test_each_sweep_has_a_run_of_its_own(store, study):
    mlflow_view.mirror(study, "FINISHED")
    study.set_user_attr("id", "other")
    mlflow_view.mirror(study, "FINISHED")
    assert sorted(run.data.tags["sweep.id"] for run in store.search_runs("")) == ["other", "some"]


@pytest.mark.parametrize(
    ("state", "sweep", "status"),
    [
        (TrialState.COMPLETE, "RUNNING", "FINISHED"),
        (TrialState.PRUNED, "FAILED", "FINISHED"),
        (TrialState.FAIL, "FAILED", "FAILED"),
        (TrialState.FAIL, "KILLED", "KILLED"),
        (TrialState.FAIL, "RUNNING", "KILLED"),
    ],
)
def test_a_failed_trial_was_killed_unless_its_error_ends_the_sweep(study, state, sweep, status):
    trial = start_trial(study)
    study.tell(trial, 0.5 if state == TrialState.COMPLETE else None, state)
    assert mlflow_view.child_status(study.trials[0], sweep) == status


def test_a_store_that_fails_costs_one_warning(capsys):
    calls = []

    def mirror(study, status) -> None:
        calls.append((study, status))
        if len(calls) == 2:
            raise OSError("first\nsecond")

    attempt = mlflow_view.tolerant(mirror)
    for status in ("RUNNING", "KILLED", "RUNNING"):
        attempt("study", status)
    assert calls == [("study", "RUNNING"), ("study", "KILLED")]
    output, warning = capsys.readouterr()
    assert output == ""
    assert warning == (
        "warning: MLflow doesn't take this sweep's runs (first); the sweep goes on, and the next "
        "`make sweep` records them\n"
    )
