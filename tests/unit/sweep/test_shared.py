"""A search that several processes share, in a SQLite file, with simulated trainings."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import optuna
import pytest
from filelock import FileLock, Timeout
from optuna.trial import TrialState
from sqlalchemy import text

from pipeline.cli import UserError
from pipeline.sweep import search, shared
from pipeline.sweep import trial as trials
from pipeline.sweep.shared import SharedStorage
from pipeline.sweep.study import NoPointLeft, finished_trials
from tests.helpers.sweeps import define, make_epoch

RUNNING, FAIL, WAITING = TrialState.RUNNING, TrialState.FAIL, TrialState.WAITING
LONG_AGO = text("UPDATE trial_heartbeats SET heartbeat = '2000-01-01 00:00:00'")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    monkeypatch.setattr(search, "WAIT_S", 0)


@pytest.fixture
def join(tmp_path, monkeypatch) -> Callable[[str], SharedStorage]:
    """A function that returns the storage as one process would open it, on one machine or many."""

    @contextmanager
    def turn(name: str, wait: float) -> Iterator[bool]:
        lock = FileLock(tmp_path / f"{name}.lock")
        try:
            lock.acquire(timeout=wait)
        except Timeout:
            yield False
        else:
            try:
                yield True
            finally:
                lock.release()

    def join(process: str) -> SharedStorage:
        monkeypatch.setattr(shared, "identify_process", lambda: process)
        with shared.without_warnings():
            rdb = optuna.storages.RDBStorage(
                f"sqlite:///{tmp_path}/shared.db", {"connect_args": {"timeout": 60}}, heartbeat_interval=60
            )
        with rdb.engine.connect() as connection:
            connection.execute(text("PRAGMA journal_mode = WAL"))
        return SharedStorage(rdb, turn)

    return join


def open_study(storage: SharedStorage, trials: int = 3, **space) -> tuple:
    """A study and its definition, with that many trials and, if given, another space."""
    definition = define(
        lambda content: content["sweep"].update({"trials": trials} | ({"space": space} if space else {}))
    )
    return storage.open_study(definition, "inputs", lambda study, status: None), definition


def play(monkeypatch, on_training: Callable[[], object] = lambda: None) -> list[str]:
    """Replace training by one epoch; return the list that gets each candidate."""
    trained = []

    def train_model(name, config, data, seed, on_epoch):
        trained.append(repr(config))
        on_training()
        on_epoch(epoch := make_epoch(1, 0.5))
        return None, [epoch]

    monkeypatch.setattr(trials, "train_model", train_model)
    return trained


def work(storage: SharedStorage, study, definition) -> None:
    search.search(study, definition, storage, None, lambda study: None)


def states(study) -> list[TrialState]:
    return [trial.state for trial in study.trials]


def let_all_die(storage: SharedStorage) -> None:
    with storage._storage.engine.begin() as connection:
        connection.execute(LONG_AGO)


def test_two_meet_the_budget_exactly_and_train_no_point_twice(join, monkeypatch):
    both = threading.Barrier(2)
    begun = []

    def meet() -> None:
        begun.append(threading.get_ident())
        if len(begun) <= 2:
            both.wait(60)  # so that both train at the same time

    trained = play(monkeypatch, meet)
    storages = [join("one"), join("two")]
    searches = [(storage, *open_study(storage, 7)) for storage in storages]
    threads = [threading.Thread(target=work, args=arguments) for arguments in searches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    study = searches[0][1]
    assert states(study) == [TrialState.COMPLETE] * 7
    assert len(set(trained)) == len(trained) == 7
    assert {trial.user_attrs["process"] for trial in study.trials} == {"one", "two"}


def test_a_trial_of_another_process_counts_and_is_left_alone(join):
    one, two = join("one"), join("two")
    study, definition = open_study(one, 1)
    assert one.begin_trial(study, definition).number == 0
    same, definition = open_study(two, 1)
    assert two.begin_trial(same, definition) is None
    assert not two.close_trials(same)
    assert states(study) == [RUNNING]


def test_a_trial_without_heartbeats_fails_and_its_point_is_tried_again(join):
    one, two = join("one"), join("two")
    study, definition = open_study(one, 1)
    dead = one.begin_trial(study, definition)
    let_all_die(one)
    again = two.begin_trial(*open_study(two, 1))
    assert (again.number, again.params) == (1, dead.params)
    assert states(study) == [FAIL, RUNNING]


def test_an_interrupted_process_leaves_its_point_to_the_others(join):
    one, two = join("one"), join("two")
    study, definition = open_study(one, 2)
    point = one.begin_trial(study, definition).params
    other = two.begin_trial(study, definition)
    assert one.close_trials(study)
    assert states(study) == [FAIL, RUNNING]
    assert two.begin_trial(study, definition).params == point != other.params


def test_a_process_that_dies_before_the_first_heartbeat_is_noticed(join):
    storage = join("one")
    study, definition = open_study(storage, 1)
    with shared.without_warnings():
        point = study.ask(shared.make_distributions(definition)).params
    assert storage.begin_trial(study, definition).params == point
    assert states(study) == [FAIL, RUNNING]


def test_a_point_that_a_dead_process_had_drawn_but_not_begun_is_begun_first(join):
    storage = join("one")
    study, definition = open_study(storage, 1)
    point = {key: dimension.high for key, dimension in definition.sweep.space.items() if not dimension.choices}
    point["dense.0.activation"] = "tanh"
    study.enqueue_trial(point)
    assert storage.begin_trial(study, definition).params == point
    assert states(study) == [RUNNING]


def test_the_result_of_a_trial_that_was_taken_for_dead_is_left_out(join, monkeypatch, capsys):
    one, two = join("one"), join("two")
    study, definition = open_study(one, 1)
    retried = []

    def fall_asleep() -> None:
        if not retried:
            let_all_die(one)
            retried.append(two.begin_trial(*open_study(two, 1)))
            two.close_trials(study)

    trained = play(monkeypatch, fall_asleep)
    work(one, study, definition)
    assert "trial 0 was taken for dead" in capsys.readouterr().out
    assert states(study) == [FAIL, FAIL, TrialState.COMPLETE]
    assert len(set(trained)) == 1
    assert not study.trials[0].intermediate_values


def test_a_process_waits_for_the_others_last_trials(join, monkeypatch, capsys):
    one, two = join("one"), join("two")
    study, definition = open_study(one, 1)
    last = one.begin_trial(study, definition)
    waited = []

    def after_epoch(study) -> None:
        waited.append(len(finished_trials(study)))
        if len(waited) == 3:
            study.tell(last.number, 0.5)

    search.search(study, definition, two, None, after_epoch)
    assert waited == [0, 0, 0]
    assert capsys.readouterr().out.count("this one waits") == 1


def test_a_space_without_another_point_ends_the_search_when_all_are_trained(join, monkeypatch, capsys):
    storage = join("one")
    study, definition = open_study(storage, 6, epochs={"choices": [1, 2]})
    running = storage.begin_trial(study, definition)
    second = storage.begin_trial(study, definition)
    assert storage.begin_trial(study, definition) is None  # one of their processes may die
    study.tell(running, 0.5)
    study.tell(second, 0.5)
    with pytest.raises(NoPointLeft):
        storage.begin_trial(study, definition)
    work(storage, study, definition)
    assert "no point of the space is left: 2 of 6 trials are finished" in capsys.readouterr().out


def test_heartbeats_are_sent_while_a_trial_runs_also_after_one_was_lost(join, monkeypatch):
    storage = join("one")
    study, definition = open_study(storage)
    trial = storage.begin_trial(study, definition)
    calls, sent = [], threading.Event()

    def record(trial_id: int) -> None:
        calls.append(trial_id)
        if len(calls) == 1:
            raise optuna.exceptions.StorageInternalError("no network")
        sent.set()

    monkeypatch.setattr(shared, "HEARTBEAT_S", 0.001)
    monkeypatch.setattr(storage._storage, "record_heartbeat", record)
    with storage.keep_alive(trial):
        assert sent.wait(60)
    assert set(calls) == {trial._trial_id}


def test_mlflow_is_shown_by_one_process_at_a_time(join, monkeypatch):
    shown, turns = [], []

    def turn(name: str, wait: float) -> nullcontext:
        turns.append(wait)
        return nullcontext(len(turns) != 1)

    storage = SharedStorage(join("one")._storage, turn)
    mirror = storage.take_turns(lambda study, status: shown.append(status))
    study = optuna.create_study()
    for status in ("RUNNING", "RUNNING", "FINISHED"):
        mirror(study, status)
    assert shown == ["RUNNING", "FINISHED"]
    assert turns == [0, 0, shared.LAST_MIRROR_WAIT_S]  # only the last turn is worth a wait


def test_a_storage_that_another_process_keeps_is_an_error(join):
    storage = SharedStorage(join("one")._storage, lambda name, wait: nullcontext(False))
    with pytest.raises(UserError, match="other processes have kept the sweep's storage busy for 600 seconds"):
        open_study(storage)
