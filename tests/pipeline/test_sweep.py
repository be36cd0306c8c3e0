"""`make sweep`, on scikit-learn's digits: interrupted, killed, gone on with, and compared with one that ran through."""

import shlex
import shutil
import signal
import socket
import subprocess
import sys

import optuna
import pytest
from filelock import FileLock
from mlflow.tracking import MlflowClient
from optuna.trial import TrialState
from ruamel.yaml import YAML

from pipeline import train
from pipeline.cli import UserError
from pipeline.config import params as parameters
from pipeline.sweep import search as sweep
from pipeline.sweep import space
from tests.helpers.project import SOURCE, copy_project

COMMAND = ("python", "-m", "pipeline.sweep")
TRIALS = 10


def small(content: dict) -> None:
    content |= {"dataset": "digits", "presets": ["dense_10"]}
    content["models"]["tiny"] = {
        "family": "dense",
        "dense": [{"units": 16}],
        "optimizer": {"name": "SGD", "learning_rate": 0.1},
        "batch_size": 64,
        "epochs": 3,
    }
    content["sweep"] = {
        "model": "tiny",
        "trials": 1000,  # the killed sweep can't end before it is killed
        "space": {
            "optimizer.learning_rate": {"low": 1e-3, "high": 1.0, "log": True},
            "dense.0.units": {"low": 8, "high": 64},
            "dense.0.dropout": {"low": 0.0, "high": 0.5},
            "dense.0.activation": {"choices": ["relu", "tanh"]},
        },
    }


def trials(project) -> list[optuna.trial.FrozenTrial]:
    """All trials of the project's one study; none while there is no storage yet."""
    if not (project.folder / "sweep.db").exists():
        return []
    try:
        return optuna.load_study(study_name=None, storage=f"sqlite:///{project.folder}/sweep.db").trials
    except (KeyError, ValueError, RuntimeError, optuna.exceptions.StorageInternalError):
        return []  # it is just being made


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
            process.send_signal(signal.SIGSTOP)  # so that the trial can't end while we look
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


class Told:
    """What the sweeps of `swept` left behind at each step."""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """A sweep that was interrupted, killed, and gone on with until ten trials were finished."""
    told = Told()
    told.project = project = copy_project(tmp_path_factory.mktemp("swept"), small)
    project.run("python", "-m", "pipeline.download")
    project.run("python", "-m", "pipeline.preprocess")
    shutil.rmtree(project.folder / "data/prepared/test")
    told.interrupted = stop(project, signal.SIGINT, after=1)
    told.after_interrupt = mlflow_runs(project), trials(project)
    told.killed = stop(project, signal.SIGKILL, after=4)
    told.left = trials(project)
    told.before = [trial for trial in told.left if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    project.edit(lambda content: content["sweep"].update(trials=max(TRIALS, len(told.before) + 3)))
    told.resumed = project.run(*COMMAND)
    told.trials, told.finished = trials(project), finished(project)
    return told


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
    assert changed["presets"] == ["dense_10", "tiny"]  # DVC trains what is listed there
    block = changed["models"]["tiny"]
    assert block["optimizer"] == {"name": "SGD", "learning_rate": best.params["optimizer.learning_rate"]}
    assert block["dense"] == [{key: best.params[f"dense.0.{key}"] for key in ("units", "dropout", "activation")}]
    # The stage, in a process of its own, gets what the trial got after the others.
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


def edited(change=lambda content: None) -> tuple[dict, parameters.Params]:
    """The parameters of this test's project, with a change, raw and checked."""
    content = parameters.read()
    small(content)
    change(content)
    return content, parameters.check(content, "params.yaml")


def test_a_search_goes_on_only_while_its_definition_is_the_same():
    def change(**new):
        return lambda content: content["models"]["tiny"].update(new)

    def names(change) -> str:
        return space.study_name(*edited(change), "data")

    same = [
        lambda content: None,
        lambda content: content["sweep"].update(trials=3),
        change(optimizer={"name": "SGD", "learning_rate": 0.5}),  # the space overrides it, so it is free to change
        lambda content: content["models"]["dense_10"].update(epochs=1),
    ]
    others = [
        change(batch_size=32),
        change(optimizer={"name": "SGD", "learning_rate": 0.1, "momentum": 0.9}),
        lambda content: content.update(seed=1),
        lambda content: content["sweep"]["space"]["dense.0.units"].update(high=65),
        lambda content: content["sweep"]["space"].pop("dense.0.dropout"),
    ]
    assert len({names(change) for change in same}) == 1
    found = {names(same[0]), space.study_name(*edited(), "other data"), *(names(change) for change in others)}
    assert len(found) == 2 + len(others)


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


RATE = {"low": 1e-3, "high": 1e-1}


@pytest.mark.parametrize(
    ("searched", "told"),
    [
        ({"optimzer.learning_rate": RATE}, ["unknown key 'optimzer'", "did you mean 'optimizer'"]),
        ({"optimizer.learning_rte": RATE}, ["argument of SGD", "did you mean 'learning_rate'"]),
        ({"dense.1.units": {"low": 8, "high": 9}}, ["models.tiny has no dense.1.units", "A list's parts are 0"]),
        ({"dense.first.units": {"low": 8, "high": 9}}, ["models.tiny has no dense.first.units"]),
        ({"dense.-1.units": {"low": 8, "high": 9}}, ["sweep.space.dense.-1.units", "pattern"]),
        ({"batch_size.x": {"low": 8, "high": 9}}, ["models.tiny has no batch_size.x", "64"]),
        ({"epochs": {"low": 3, "high": 3}}, ["sweep.space.epochs", "low should be below high"]),
        ({"epochs": {"low": 0, "high": 3}}, ["epochs=0", "models.tiny.epochs", "greater than 0"]),
        ({"epochs": {"low": 1.0, "high": 3.0}}, ["epochs=1.0", "valid integer"]),
        ({"epochs": {"low": 1, "high": 9, "step": 9}}, ["sweep.space.epochs", "step"]),
        ({"epochs": {"low": 1}}, ["sweep.space.epochs", "high is None"]),
        ({"epochs": {"low": 1, "hihg": 2}}, ["sweep.space.epochs", "did you mean 'high'"]),
        ({"epochs": {"low": True, "high": 3}}, ["sweep.space.epochs", "low is True"]),
        ({"epochs": {"low": 1, "high": float("inf")}}, ["sweep.space.epochs", "high is inf"]),
        ({"epochs": {"choices": [1]}}, ["sweep.space.epochs", "at least two"]),
        ({"epochs": {"choices": [1, 2], "low": 1}}, ["sweep.space.epochs", "either"]),
        ({"optimizer": {"choices": ["SGD", "SGDD"]}}, ["optimizer=SGDD", "unknown optimizer 'SGDD'", "Adam"]),
        ({"optimizer": {"choices": ["SGD", {"name": "Adam"}]}}, ["sweep.space.optimizer", "key by key"]),
        ({"dense.0.dropout": {"low": 0.0, "high": 1.0}}, ["dense.0.dropout=1.0", "less than 1"]),
        ({"optimizer.learning_rate": {"low": 0.0, "high": 1.0, "log": True}}, ["learning_rate", "low above 0"]),
        ({"optimizer": {"choices": ["SGD", "Adam"]}, "optimizer.momentum": RATE}, ["no optimizer.momentum", "{name"]),
        ({}, ["sweep.space"]),
    ],
)
def test_a_space_that_leads_nowhere_is_told_before_anything_is_trained(searched, told):
    with pytest.raises(UserError) as problem:
        space.check(*edited(lambda content: content["sweep"].update(space=searched)))
    for part in ["params.yaml", *told]:
        assert part in str(problem.value)


def test_values_that_are_impossible_only_together_are_told():
    def two_convolutions(content: dict) -> None:
        content["models"]["tiny"] = content["models"]["cnn_fast"] | {
            "convolutions": [{"filters": 8, "kernel_size": 3}, {"filters": 8, "kernel_size": 3}]
        }
        kernel = {"low": 3, "high": 20}
        content["sweep"]["space"] = {f"convolutions.{index}.kernel_size": kernel for index in range(2)}

    with pytest.raises(
        UserError, match=r"convolutions.0.kernel_size=20, convolutions.1.kernel_size=20.*leaves nothing"
    ):
        space.check(*edited(two_convolutions))


@pytest.mark.parametrize("model", ["tyny", 3])
def test_an_unknown_model_is_told(model):
    with pytest.raises(UserError, match=r"sweep.model: .*" + ("did you mean 'tiny'" if model == "tyny" else "string")):
        edited(lambda content: content["sweep"].update(model=model))


def test_what_is_wrong_is_told_without_a_trace_before_tensorflow_is_imported(tmp_path):
    content, _ = edited(lambda content: content["sweep"]["space"].update({"epochs": {"low": 0, "high": 2}}))
    YAML().dump(content, tmp_path / "params.yaml")
    done = subprocess.run(
        (sys.executable, "-X", "importtime", "-m", "pipeline.sweep"),
        cwd=tmp_path,
        env={"PYTHONPATH": str(SOURCE), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    imported, _, message = done.stderr.rpartition("error: ")
    assert (done.returncode, message.count("\n")) == (1, 1)
    assert "epochs=0" in message
    assert not {"tensorflow", "keras", "mlflow"} & {line.split("|")[-1].strip() for line in imported.splitlines()}


def test_a_point_that_diverges_is_given_up_and_counts(monkeypatch, capsys):
    content, params = edited(lambda content: content["sweep"].update(trials=2))
    losses = iter([train.Diverged("nan"), None])

    def trained(name, block, classes, seed, on_epoch):
        if error := next(losses):
            raise error
        epoch = {"epoch": 1, "metrics": {"val_accuracy": 0.5}, "finished": "2026-01-01T00:00:00+00:00"}
        on_epoch(epoch)
        return None, [epoch]

    monkeypatch.setattr(train, "trained", trained)
    study = optuna.create_study(direction="maximize")
    sweep.search(study, content, params, 10, lambda study: None)
    assert [trial.state for trial in study.trials] == [TrialState.PRUNED, TrialState.COMPLETE]
    assert "given up: it diverged" in capsys.readouterr().out


def test_a_point_that_comes_again_is_not_trained_again(monkeypatch):
    two = {"epochs": {"choices": [1, 2]}}
    content, params = edited(lambda content: content["sweep"].update(trials=6, space=two))
    trained = []

    def train_it(name, block, classes, seed, on_epoch):
        trained.append(block.epochs)
        epoch = {"epoch": 1, "metrics": {"val_accuracy": block.epochs / 10}, "finished": "2026-01-01T00:00:00+00:00"}
        on_epoch(epoch)
        return None, [epoch]

    monkeypatch.setattr(train, "trained", train_it)
    study = optuna.create_study(direction="maximize")
    sweep.search(study, content, params, 10, lambda study: None)
    assert sorted(trained) == [1, 2]
    assert {(trial.params["epochs"], trial.value) for trial in study.trials} == {(1, 0.1), (2, 0.2)}
    assert len(study.trials) == 6


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """A sweep in this process, in an empty folder and without MLflow; the signals' handlers are restored."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    (tmp_path / "dataset.json").write_text("{}")
    monkeypatch.setattr(train, "PREPARED", tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(sweep.sweep_runs, "mirror", lambda study, status: None)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_search_in_which_all_diverged_has_no_best(alone, monkeypatch):
    def trained(*arguments):
        raise train.Diverged("nan")

    monkeypatch.setattr(train, "trained", trained)
    with pytest.raises(UserError, match="no trial was trained to its end"):
        sweep.sweep(*edited(lambda content: content["sweep"].update(trials=2)), 10)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_in_a_destructor_is_not_lost(alone, monkeypatch, capsys):
    class Dying:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)
            len([])  # Python runs the signal's handler between two instructions of this function

    def trained(name, block, classes, seed, on_epoch):
        Dying()  # gone at once
        epoch = {"epoch": 1, "metrics": {"val_accuracy": 0.5}, "finished": "2026-01-01T00:00:00+00:00"}
        on_epoch(epoch)
        return None, [epoch]

    monkeypatch.setattr(train, "trained", trained)
    with pytest.raises(SystemExit) as ended:
        sweep.sweep(*edited(), 10)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted: 0 of 1000 trials are finished; `make sweep` goes on from there\n"
