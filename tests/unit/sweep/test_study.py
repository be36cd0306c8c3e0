import optuna
import pytest
from optuna.trial import TrialState

from pipeline.sweep.study import OwnStorage, finished_trials
from tests.helpers.sweeps import define


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def test_the_same_search_opens_the_same_study(tmp_path):
    first = OwnStorage(tmp_path).open_study(define(), "data", lambda study, status: None)
    first.tell(first.ask(), 0.5)
    again = OwnStorage(tmp_path).open_study(define(), "data", lambda study, status: None)
    assert again.study_name == first.study_name
    assert (again.user_attrs, len(again.trials)) == (first.user_attrs, 1)
    assert (again.user_attrs["dataset"], again.user_attrs["model"]) == ("digits", "tiny")
    other = OwnStorage(tmp_path).open_study(define(), "other data", lambda study, status: None)
    assert (other.study_name != first.study_name, len(other.trials)) == (True, 0)
    assert other.user_attrs["id"] != first.user_attrs["id"]
    assert (tmp_path / "sweep.db").exists()


def test_more_accuracy_is_better_and_the_first_epoch_prunes_nothing(tmp_path):
    study = OwnStorage(tmp_path).open_study(define(), "data", lambda study, status: None)
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    for _ in range(5):
        trial = study.ask()
        for epoch in (1, 2, 3):
            trial.report(0.9, epoch)
        study.tell(trial, 0.9)
    trial = study.ask()
    should_prune = []
    for epoch in (1, 2, 3):
        trial.report(0.1, epoch)
        should_prune.append(trial.should_prune())
    assert should_prune == [False, True, True]


def test_nothing_is_pruned_by_fewer_than_five_trials(tmp_path):
    study = OwnStorage(tmp_path).open_study(define(), "data", lambda study, status: None)
    for _ in range(4):
        trial = study.ask()
        for epoch in (1, 2, 3):
            trial.report(0.9, epoch)
        study.tell(trial, 0.9)
    trial = study.ask()
    for epoch in (1, 2, 3):
        trial.report(0.1, epoch)
    assert not trial.should_prune()


def test_what_killed_sweeps_left_running_is_closed_and_shown(tmp_path):
    shown = []

    def show(study: optuna.Study, status: str) -> None:
        shown.append((study.study_name, status))

    study = OwnStorage(tmp_path).open_study(define(), "data", show)
    study.ask()
    assert not shown
    OwnStorage(tmp_path).open_study(define(), "other data", show)
    assert shown == [(study.study_name, "KILLED")]
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]


def test_trials_count_once_they_are_complete_or_pruned(tmp_path):
    study = optuna.create_study()
    for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL):
        study.tell(study.ask(), 0.5 if state == TrialState.COMPLETE else None, state)
    study.ask()
    assert [trial.number for trial in finished_trials(study)] == [0, 1]
    assert OwnStorage(tmp_path).close_trials(study)
    assert study.trials[3].state == TrialState.FAIL
    assert not OwnStorage(tmp_path).close_trials(study)
