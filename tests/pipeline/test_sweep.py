"""`make sweep` on scikit-learn's digits: interrupted, killed, continued, and compared with one that ran through."""

import shlex
import shutil
import signal
import socket
import subprocess

import optuna
import pytest
from filelock import FileLock
from mlflow.tracking import MlflowClient
from optuna.trial import TrialState
from ruamel.yaml import YAML

from tests.helpers.project import copy_project
from tests.helpers.sweeps import small

COMMAND = ("python", "-m", "pipeline.sweep")
TRIALS = 7  # two more than the trials at the start, which are drawn at random


def trials(project) -> list[optuna.trial.FrozenTrial]:
    """All trials of the project's only study; empty as long as there is no storage."""
    if not (project.folder / "sweep.db").exists():
        return []
    try:
        return optuna.load_study(study_name=None, storage=f"sqlite:///{project.folder}/sweep.db").trials
    except (KeyError, ValueError, RuntimeError, optuna.exceptions.StorageInternalError):
        return []  # the storage is just being created


def finished(project) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in trials(project) if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]


def stop(project, how: signal.Signals, after: int) -> subprocess.CompletedProcess[str]:
    """Start a sweep and stop it in the middle of a trial, once `after` trials are finished."""
    process = subprocess.Popen(
        COMMAND, cwd=project.folder, env=project.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        for line in process.stdout:
            if "epoch 1/" not in line or len(finished(project)) < after:
                continue
            process.send_signal(signal.SIGSTOP)  # so that the trial can't end during the checks
            running = [trial for trial in trials(project) if trial.state == TrialState.RUNNING]
            if running:
                process.send_signal(how)
            process.send_signal(signal.SIGCONT)
            if running:
                break
        output = process.communicate(timeout=120)
    finally:
        process.kill()
    return subprocess.CompletedProcess(COMMAND, process.returncode, *output)


def results(found: list[optuna.trial.FrozenTrial]) -> list[tuple]:
    return [(t.params, t.state, t.value, t.intermediate_values) for t in found]


class Steps:
    """The state that the sweeps of `swept` left behind at each step."""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Steps:
    """A sweep that was interrupted, killed, and continued until at least seven trials were finished."""
    steps = Steps()
    steps.project = project = copy_project(tmp_path_factory.mktemp("swept"), small)
    project.run("python", "-m", "pipeline.download")
    project.run("python", "-m", "pipeline.preprocess")
    shutil.rmtree(project.folder / "data/prepared/test")
    steps.interrupted = stop(project, signal.SIGINT, after=1)
    steps.after_interrupt = mlflow_runs(project), trials(project)
    steps.killed = stop(project, signal.SIGKILL, after=4)
    steps.left = trials(project)
    steps.before = [trial for trial in steps.left if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    project.edit(lambda content: content["sweep"].update(trials=max(TRIALS, len(steps.before) + 3)))
    steps.resumed = project.run(*COMMAND)
    steps.trials, steps.finished = trials(project), finished(project)
    return steps


def mlflow_runs(project) -> tuple:
    """The sweep's parent run in MLflow, and its children by name."""
    client = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    children = {run.info.run_name: run for run in runs if run is not parents[0]}
    assert {child.data.tags["mlflow.parentRunId"] for child in children.values()} == {parents[0].info.run_id}
    assert len(children) == len(runs) - 1
    return parents[0], children, client


def test_an_interrupt_ends_cleanly_and_says_how_to_go_on(swept):
    assert swept.interrupted.returncode == 130
    assert swept.interrupted.stderr.splitlines()[-1].startswith("interrupted: ")
    assert f"of {1000} trials are finished; `make sweep` goes on" in swept.interrupted.stderr
    assert "Traceback" not in swept.interrupted.stderr
    (parent, children, _), found = swept.after_interrupt
    assert parent.info.status == "KILLED"
    failed = {f"trial {trial.number}" for trial in found if trial.state == TrialState.FAIL}
    assert {name for name, run in children.items() if run.info.status == "KILLED"} == failed
    assert "RUNNING" not in {run.info.status for run in children.values()}


def test_a_killed_sweep_goes_on_and_repeats_nothing(swept):
    assert swept.killed.returncode == -signal.SIGKILL
    assert len(swept.before) >= 4
    dead = [trial.number for trial in swept.left if trial.state == TrialState.RUNNING]
    assert len(dead) == 1
    assert len(swept.finished) == max(TRIALS, len(swept.before) + 3)
    assert swept.finished[: len(swept.before)] == swept.before
    assert swept.trials[dead[0]].state == TrialState.FAIL
    assert not [trial for trial in swept.trials if trial.state == TrialState.RUNNING]
    ran = {line.split(",")[0] for line in swept.resumed.stdout.splitlines() if "optimizer.learning_rate" in line}
    assert not ran & {f"trial {trial.number}" for trial in swept.left}
    assert len({str(trial.params) for trial in swept.finished}) == len(swept.finished)


def test_the_same_seed_finds_the_same_with_or_without_a_kill(swept):
    project = swept.project
    kept = project.folder / "sweep.db.kept"
    (project.folder / "sweep.db").rename(kept)
    try:
        project.run(*COMMAND, MLFLOW_TRACKING_URI=f"sqlite:///{project.folder}/other.db")
        through = finished(project)
    finally:
        kept.replace(project.folder / "sweep.db")
    assert results(through) == results(swept.finished)


def test_mlflow_has_one_parent_and_a_run_for_each_trial(swept):
    parent, children, client = mlflow_runs(swept.project)
    assert (parent.info.status, parent.info.run_name) == ("FINISHED", "sweep tiny")
    assert set(children) == {f"trial {trial.number}" for trial in swept.trials}
    for trial in swept.trials:
        run = children[f"trial {trial.number}"]
        assert run.info.status == ("KILLED" if trial.state == TrialState.FAIL else "FINISHED")
        assert run.data.params == {key: str(value) for key, value in trial.params.items()}
        points = client.get_metric_history(run.info.run_id, "val_accuracy")
        assert {point.step: point.value for point in points} == trial.intermediate_values
        assert len(points) == len(trial.intermediate_values)


def test_the_best_line_makes_the_pipeline_train_the_best_trial(swept, tmp_path):
    from dvc.utils.hydra import apply_overrides

    line = swept.resumed.stdout.splitlines()[-1]
    assert mlflow_runs(swept.project)[0].data.tags["sweep.best"] == line
    best = max((trial for trial in swept.finished if trial.state == TrialState.COMPLETE), key=lambda t: t.value)
    assert f"val_accuracy {best.value:.4f}" in swept.resumed.stdout
    words = shlex.split(line)
    assert (words[:3], set(words[3::2])) == (["dvc", "exp", "run"], {"-S"})
    copy = tmp_path / "params.yaml"
    shutil.copy(swept.project.folder / "params.yaml", copy)
    apply_overrides(copy, words[4::2])
    changed = YAML(typ="safe").load(copy)
    assert changed["presets"] == ["dense_10", "tiny"]  # DVC trains the models in this list
    block = changed["models"]["tiny"]
    assert block["optimizer"] == {"name": "SGD", "learning_rate": best.params["optimizer.learning_rate"]}
    assert block["dense"] == [{key: best.params[f"dense.0.{key}"] for key in ("units", "dropout", "activation")}]
    # The stage, in its own process, gets the same result as the trial, which ran after other trials.
    shutil.copytree(swept.project.folder / "data", tmp_path / "data")
    trained = subprocess.run(
        ("python", "-m", "pipeline.train", "tiny"),
        cwd=tmp_path,
        env=swept.project.environment | {"PYTHONPATH": str(swept.project.folder)},
        capture_output=True,
        text=True,
    )
    assert trained.returncode == 0, trained.stderr
    history = (tmp_path / "models/tiny/history.csv").read_text().splitlines()
    assert float(history[-1].split(",")[-1]) == best.value


def test_a_finished_sweep_runs_nothing_more(swept):
    again = swept.project.run(*COMMAND)
    assert again.stdout.splitlines() == swept.resumed.stdout.splitlines()[-2:]
    assert trials(swept.project) == swept.trials


def test_a_store_that_is_down_costs_one_warning_and_is_filled_later(swept, tmp_path_factory):
    project = copy_project(tmp_path_factory.mktemp("down"), small)
    shutil.copytree(swept.project.folder / "data", project.folder / "data")
    project.edit(lambda content: content["sweep"].update(trials=2))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but nobody listens
        done = project.run(*COMMAND, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{closed.getsockname()[1]}")
    assert done.stderr.count("warning:") == 1, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    first = finished(project)
    assert len(first) == 2
    again = project.run(*COMMAND)
    assert "epoch" not in again.stdout
    assert finished(project) == first
    parent, children, client = mlflow_runs(project)
    assert {parent.info.status, *(run.info.status for run in children.values())} == {"FINISHED"}
    for trial in first:
        points = client.get_metric_history(children[f"trial {trial.number}"].info.run_id, "val_accuracy")
        assert {point.step: point.value for point in points} == trial.intermediate_values
        assert all(trial.datetime_start.timestamp() <= p.timestamp / 1000 for p in points)
        assert all(p.timestamp / 1000 <= trial.datetime_complete.timestamp() for p in points)


def test_only_one_sweep_runs_at_a_time(swept):
    with FileLock(swept.project.folder / "sweep.db.lock"):
        done = swept.project.run(*COMMAND, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "another sweep is running" in done.stderr
