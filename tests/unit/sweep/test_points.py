import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from pipeline.sweep.points import MAX_ATTEMPTS, draw_point, find_retry

SPACE = {"rate": FloatDistribution(0.0, 1.0), "units": IntDistribution(1, 3)}
FAIL, COMPLETE, RUNNING = TrialState.FAIL, TrialState.COMPLETE, TrialState.RUNNING


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def make_trial(state: TrialState, space=SPACE, **params) -> FrozenTrial:
    distributions = {key: space[key] for key in params}
    value = 0.5 if state == COMPLETE else None
    return create_trial(state=state, value=value, params=params, distributions=distributions)


def test_a_point_whose_trial_died_is_tried_again():
    dead = {"rate": 0.25, "units": 2}
    trials = [make_trial(COMPLETE, rate=0.5, units=1), make_trial(FAIL, **dead)]
    assert find_retry(trials, set(SPACE)) == dead
    assert find_retry(trials[:1], set(SPACE)) is None


@pytest.mark.parametrize("state", [COMPLETE, TrialState.PRUNED, RUNNING])
def test_a_point_that_is_being_tried_again_or_is_finished_is_left_alone(state):
    dead = {"rate": 0.25, "units": 2}
    assert find_retry([make_trial(FAIL, **dead), make_trial(state, **dead)], set(SPACE)) is None


def test_a_point_that_kills_every_process_is_given_up():
    poison, other = {"rate": 0.25, "units": 2}, {"rate": 0.5, "units": 2}
    trials = [make_trial(FAIL, **poison)] * MAX_ATTEMPTS
    assert find_retry(trials[1:], set(SPACE)) == poison
    assert find_retry(trials, set(SPACE)) is None
    assert find_retry([*trials, make_trial(FAIL, **other)], set(SPACE)) == other


def test_what_died_before_its_point_was_drawn_is_no_point():
    assert find_retry([make_trial(FAIL, rate=0.25), make_trial(FAIL)], set(SPACE)) is None


def test_the_seed_and_the_trials_decide_what_is_drawn():
    trials = [make_trial(COMPLETE, rate=number / 10, units=1) for number in range(7)]
    assert draw_point(trials, SPACE, 1) == draw_point(trials, SPACE, 1) != draw_point(trials, SPACE, 2)


@pytest.mark.parametrize("state", [COMPLETE, FAIL, RUNNING])
def test_no_point_is_drawn_twice_and_all_are_drawn(state):
    small = {"units": IntDistribution(1, 3), "flag": CategoricalDistribution((True, "1"))}
    trials = []
    for count in range(6):
        trials.append(make_trial(state, small, **draw_point(trials, small, count)))
    assert len({str(trial.params) for trial in trials}) == 6
    assert draw_point(trials, small, 6) is None
