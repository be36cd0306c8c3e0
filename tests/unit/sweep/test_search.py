"""The search, with simulated trainings."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from ruamel.yaml import YAML

from pipeline.cli import UserError
from pipeline.paths import Workspace
from pipeline.sweep import search
from pipeline.sweep import trial as trials
from pipeline.sweep.study import OwnStorage
from pipeline.training.fit import DivergedError
from tests.helpers.datasets import write_numbered_data
from tests.helpers.project import SOURCE
from tests.helpers.sweeps import define, make_epoch


def test_a_point_that_diverges_is_given_up_and_counts(monkeypatch, capsys):
    definition = define(lambda content: content["sweep"].update(trials=2))
    errors = iter([DivergedError("nan"), None])

    def train_model(name, config, data, seed, on_epoch):
        if error := next(errors):
            raise error
        epoch = make_epoch(1, 0.5)
        on_epoch(epoch)
        return None, [epoch]

    monkeypatch.setattr(trials, "train_model", train_model)
    study, after = optuna.create_study(direction="maximize"), []
    search.search(study, definition, OwnStorage(Path()), None, after.append)
    assert [trial.state for trial in study.trials] == [TrialState.PRUNED, TrialState.COMPLETE]
    assert len(after) == 3  # after each trial, and after the one epoch
    lines = capsys.readouterr().out.splitlines()
    assert "given up: it diverged" in lines[1]
    assert lines[0].startswith("trial 0, 1 of 2: dense.0.activation=")
    assert lines[2].startswith("trial 1, 2 of 2: ")


def test_a_point_that_comes_again_is_not_trained_again(monkeypatch):
    two = {"epochs": {"choices": [1, 2]}}
    definition = define(lambda content: content["sweep"].update(trials=6, space=two))
    trained = []

    def train_model(name, config, data, seed, on_epoch):
        trained.append(config.epochs)
        epoch = make_epoch(1, config.epochs / 10)
        on_epoch(epoch)
        return None, [epoch]

    monkeypatch.setattr(trials, "train_model", train_model)
    study = optuna.create_study(direction="maximize")
    search.search(study, definition, OwnStorage(Path()), None, lambda study: None)
    assert sorted(trained) == [1, 2]
    assert {(trial.params["epochs"], trial.value) for trial in study.trials} == {(1, 0.1), (2, 0.2)}
    assert len(study.trials) == 6


def test_the_seed_and_the_number_of_finished_trials_decide_what_is_proposed(monkeypatch):
    def train_model(name, config, data, seed, on_epoch):
        assert (data, seed) == ("data", definition.params.seed)
        return None, [make_epoch(1, config.dense[0].units / 100)]

    def propose(definition) -> list[dict]:
        study = optuna.create_study(direction="maximize")
        search.search(study, definition, OwnStorage(Path()), "data", lambda study: None)
        return [trial.params for trial in study.trials]

    monkeypatch.setattr(trials, "train_model", train_model)
    definition = define(lambda content: content["sweep"].update(trials=7))
    first, again = propose(definition), propose(definition)
    assert first == again
    assert len({str(point) for point in first}) == 7
    definition = define(lambda content: content.update(seed=1) or content["sweep"].update(trials=7))
    assert propose(definition)[0] != first[0]


Run = Callable[..., list[str]]


@pytest.fixture
def run_sweep(tmp_path: Path) -> Iterator[Run]:
    """A function that runs a sweep in an empty folder; afterwards the signal handlers are restored."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    workspace = Workspace(tmp_path)
    write_numbered_data(workspace.prepared)
    shown: list[str] = []

    def run(change: Callable[[dict], object] = lambda content: None) -> list[str]:
        search.sweep(define(change), workspace, OwnStorage(tmp_path), lambda study, status: shown.append(status))
        return shown

    run.shown = shown
    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_search_in_which_all_diverged_has_no_best(run_sweep, monkeypatch):
    def diverge(*arguments):
        raise DivergedError("nan")

    monkeypatch.setattr(trials, "train_model", diverge)
    with pytest.raises(UserError, match="no trial was trained to its end"):
        run_sweep(lambda content: content["sweep"].update(trials=2))
    assert run_sweep.shown == ["RUNNING", "RUNNING", "FAILED"]


def test_the_best_trial_is_printed_with_its_command(run_sweep, monkeypatch, capsys, tmp_path):
    accuracies = iter([0.1, 0.9, 0.3])
    monkeypatch.setattr(trials, "train_model", lambda *arguments: (None, [make_epoch(1, next(accuracies))]))
    assert run_sweep(lambda content: content["sweep"].update(trials=3)) == ["RUNNING"] * 3 + ["FINISHED"]
    best, command = capsys.readouterr().out.splitlines()[-2:]
    assert best == "best of 3 trials: trial 1, val_accuracy 0.9000. To run the pipeline with it:"
    (study,) = optuna.get_all_study_summaries(f"sqlite:///{tmp_path}/sweep.db")
    assert study.user_attrs["best"] == command
    assert command.startswith("dvc exp run -S ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_in_a_destructor_is_not_lost(run_sweep, monkeypatch, capsys, number):
    class Dying:
        def __del__(self):
            signal.raise_signal(number)
            len([])  # Python runs the signal's handler between two instructions of this function

    def train_model(name, config, data, seed, on_epoch):
        Dying()  # is destroyed at once
        epoch = make_epoch(1, 0.5)
        on_epoch(epoch)
        return None, [epoch]

    monkeypatch.setattr(trials, "train_model", train_model)
    with pytest.raises(SystemExit) as ended:
        run_sweep()
    assert ended.value.code == 130
    assert run_sweep.shown[-1] == "KILLED"
    assert capsys.readouterr().err == "interrupted: 0 of 1000 trials are finished; `make sweep` goes on from there\n"


def test_an_interrupt_lets_a_write_to_mlflow_end(tmp_path, run_sweep, monkeypatch):
    begun, ended = [], []

    def mirror(study: optuna.Study, status: str) -> None:
        begun.append(status)
        if len(begun) == 1:
            signal.raise_signal(signal.SIGINT)
        ended.append(status)

    monkeypatch.setattr(trials, "train_model", lambda *arguments: (None, [make_epoch(1, 0.5)]))
    with pytest.raises(SystemExit):
        search.sweep(define(), Workspace(tmp_path), OwnStorage(tmp_path), mirror)
    assert begun == ended == ["RUNNING", "KILLED"]


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "mnist"},
        {"image_shape": [32, 28, 1]},
        {"resize": "pad"},
        {"seed": 1},
        {"splits": {"train": {"images": 500}, "val": {"images": 98}}},
        {"validation_images": 100},
    ],
)
def test_data_of_other_parameters_are_refused(tmp_path, changed):
    workspace = Workspace(tmp_path)
    YAML().dump(define().content, workspace.params)
    workspace.prepared.mkdir(parents=True)
    splits = {"train": {"images": 500}, "val": {"images": 100}}
    described = {"name": "digits", "image_shape": [28, 28, 1], "resize": "ink", "seed": 0, "splits": splits}
    workspace.dataset.write_text(json.dumps(described))
    search.require_prepared_data(define().params, workspace)  # 5,000 images are requested, but a sixth is less
    workspace.dataset.write_text(json.dumps(described | changed))
    with pytest.raises(
        UserError,
        match=r"another dataset, seed, validation_images or writers than params.yaml has: run `dvc repro preprocess`",
    ):
        search.main(workspace)


@pytest.mark.parametrize(("asked", "is_refused"), [(100, False), (99, True), (None, True)])
def test_where_groups_stay_whole_it_counts_how_many_images_were_asked_for(tmp_path, asked, is_refused):
    workspace = Workspace(tmp_path)
    workspace.prepared.mkdir(parents=True)
    definition = define(lambda content: content.update(dataset="mnist", writers=True))
    splits = {"train": {"images": 508}, "val": {"images": 92}}
    described = {"name": "mnist", "image_shape": [28, 28, 1], "resize": "ink", "seed": 0, "splits": splits}
    described |= {} if asked is None else {"validation_images": asked}
    workspace.dataset.write_text(json.dumps(described))
    with pytest.raises(UserError, match="writers") if is_refused else nullcontext():
        search.require_prepared_data(definition.params, workspace)


def test_an_address_of_another_database_is_refused_before_a_trial(tmp_path, monkeypatch):
    YAML().dump(define().content, tmp_path / "params.yaml")
    monkeypatch.setattr(search, "require_prepared_data", lambda params, workspace: None)
    monkeypatch.setenv("SWEEP_STORAGE", "sqlite:///shared.db")
    with pytest.raises(UserError, match="SWEEP_STORAGE is no address of a PostgreSQL database"):
        search.main(Workspace(tmp_path))


def test_another_code_and_another_number_of_threads_are_another_search(tmp_path, monkeypatch):
    workspace = Workspace(tmp_path)
    workspace.prepared.mkdir(parents=True)
    workspace.dataset.write_text("{}")
    before = search.hash_inputs(workspace, 2)
    assert search.hash_inputs(workspace, 2) == before
    assert search.hash_inputs(workspace, 3) != before
    monkeypatch.setattr(search, "format_description", lambda stage, root: f"another {stage}")
    assert search.hash_inputs(workspace, 2) != before


def test_what_is_wrong_is_reported_without_a_trace_before_tensorflow_is_imported(tmp_path):
    definition = define(lambda content: content["sweep"]["space"].update({"epochs": {"low": 0, "high": 2}}))
    YAML().dump(definition.content, tmp_path / "params.yaml")
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
