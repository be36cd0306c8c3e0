"""One trial, with a simulated training."""

from types import SimpleNamespace

import optuna
import pytest
from optuna.trial import TrialState

from pipeline.config.keras_objects import KerasObject
from pipeline.config.model import DenseModel
from pipeline.sweep import trial as trials
from pipeline.training.fit import DivergedError
from tests.helpers.sweeps import make_epoch

CONFIG = DenseModel(family="dense", optimizer="SGD", batch_size=1, epochs=3)
SPACE = {"batch_size": optuna.distributions.IntDistribution(1, 2)}


@pytest.fixture
def study() -> optuna.Study:
    """A study that prunes each trial below 0.5 as soon as it may."""
    return optuna.create_study(direction="maximize", pruner=optuna.pruners.ThresholdPruner(lower=0.5))


def play(monkeypatch: pytest.MonkeyPatch, *accuracies: float) -> list[tuple]:
    """Replace training by a function that reports these accuracies; return the calls that it gets."""
    calls = []

    def train_model(name, config, data, seed, on_epoch):
        calls.append((name, config, data, seed))
        epochs = [make_epoch(number, accuracy) for number, accuracy in enumerate(accuracies, start=1)]
        for epoch in epochs:
            on_epoch(epoch)
        return None, epochs

    monkeypatch.setattr(trials, "train_model", train_model)
    return calls


def test_the_last_validation_accuracy_is_the_value(study, monkeypatch):
    calls, seen = play(monkeypatch, 0.6, 0.9, 0.8), []
    trial = study.ask(SPACE)
    assert trials.run_trial(trial, CONFIG, "data", 7, seen.append) == (0.8, TrialState.COMPLETE)
    assert calls == [("trial 0", CONFIG, "data", 7)]
    assert seen == [study] * 3
    study.tell(trial, 0.8)
    (frozen,) = study.trials
    assert frozen.intermediate_values == {1: 0.6, 2: 0.9, 3: 0.8}
    assert frozen.user_attrs == {f"epoch {number}": make_epoch(1, 0)["finished"] for number in (1, 2, 3)}


def test_the_value_of_averaged_weights_is_theirs_and_not_the_last_epochs(study, monkeypatch):
    play(monkeypatch, 0.6, 0.8)
    monkeypatch.setattr(trials, "measure_temperature", lambda network, config, split: {"val": 0.5}[split])
    measured = {("val", 0.5): 0.9}
    monkeypatch.setattr(trials, "measure_accuracy", lambda network, config, *given: measured[given])
    config = CONFIG.model_copy(update={"optimizer": KerasObject(name="SGD", arguments={"use_ema": True})})
    data = SimpleNamespace(val="val")
    assert trials.run_trial(study.ask(SPACE), config, data, 7, lambda study: None) == (0.9, TrialState.COMPLETE)


def test_a_trial_that_is_worse_than_others_is_given_up(study, monkeypatch, capsys):
    play(monkeypatch, 0.6, 0.4, 0.9)
    trial = study.ask(SPACE)
    assert trials.run_trial(trial, CONFIG, "data", 0, lambda study: None) == (None, TrialState.PRUNED)
    assert capsys.readouterr().out == "trial 0 is given up: so far worse than the median of the others\n"
    assert study.trials[0].intermediate_values == {1: 0.6, 2: 0.4}


def test_a_trial_is_not_given_up_after_its_last_epoch(study, monkeypatch):
    play(monkeypatch, 0.6, 0.6, 0.4)
    value, state = trials.run_trial(study.ask(SPACE), CONFIG, "data", 0, lambda study: None)
    assert (value, state) == (0.4, TrialState.COMPLETE)


def test_a_trial_that_diverges_is_given_up(study, monkeypatch, capsys):
    def diverge(*arguments):
        raise DivergedError("nan")

    monkeypatch.setattr(trials, "train_model", diverge)
    assert trials.run_trial(study.ask(SPACE), CONFIG, "data", 0, lambda study: None) == (None, TrialState.PRUNED)
    assert capsys.readouterr().out == "trial 0 is given up: it diverged\n"


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED])
def test_a_point_that_was_tried_is_not_trained_again(study, monkeypatch, capsys, state):
    calls = play(monkeypatch, 0.6, 0.7, 0.8)
    study.enqueue_trial({"batch_size": 2})
    study.enqueue_trial({"batch_size": 2})
    first = study.ask(SPACE)
    value, _ = trials.run_trial(first, CONFIG, "data", 0, lambda study: None)
    study.tell(first, value if state == TrialState.COMPLETE else None, state)
    again = study.ask(SPACE)
    # Optuna takes the last reported accuracy of a pruned trial as its value.
    assert trials.run_trial(again, CONFIG, "data", 0, lambda study: None) == (0.8, state)
    assert len(calls) == 1
    assert "trial 1 is trial 0 again: val_accuracy" in capsys.readouterr().out
    first, again = study.trials
    assert again.intermediate_values == first.intermediate_values
    assert again.user_attrs == first.user_attrs
