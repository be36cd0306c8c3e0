"""`make sweep` by two processes on a real PostgreSQL, one of them killed in the middle of a trial."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import optuna
import pytest
from mlflow.tracking import MlflowClient
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from pipeline.cli import UserError
from pipeline.sweep.postgresql import SETTING, make_turn, open_storage
from pipeline.sweep.shared import Turn
from pipeline.tracking.postgresql import parse_address
from tests.helpers.project import Project, copy_project
from tests.helpers.sweeps import small
from tests.helpers.team import PASSWORD, find_postgresql, postgresql

TRIALS = 16
# The command of `make sweep`, but a trial counts as dead within seconds.
COMMAND = (
    sys.executable,
    "-c",
    "from pipeline.cli import run; from pipeline.sweep import postgresql, search, shared; "
    "shared.HEARTBEAT_S = postgresql.HEARTBEAT_S = search.WAIT_S = 1; postgresql.GRACE_S = 8; run(search.main)",
)
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class Search:
    """A search in a database, by processes that are started as on different machines."""

    def __init__(self, project: Project, address: str):
        self._project, self._address = project, address

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            COMMAND,
            cwd=self._project.folder,
            env=self._project.environment | {"SWEEP_STORAGE": self._address},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """All trials of the only study, or only those in these states."""
        storage = optuna.storages.RDBStorage(self._address)
        return optuna.load_study(study_name=None, storage=storage).get_trials(states=states or None)

    def mlflow_runs(self) -> dict:
        client = MlflowClient(f"sqlite:///{self._project.folder}/mlflow.db")
        runs = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
        assert len({run.info.run_name for run in runs}) == len(runs)
        return {run.info.run_name: run for run in runs}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """An unused database."""
    if not find_postgresql():
        pytest.skip("PostgreSQL isn't installed: `apt-get install postgresql`")
    pytest.importorskip("psycopg", reason="psycopg can't be imported: `make test-engines` installs it")
    with postgresql() as address:
        yield address


@pytest.fixture
def shared_search(tmp_path, address) -> Search:
    """A search over 16 small models, not yet begun."""
    project = copy_project(tmp_path, small)
    project.edit(lambda content: content["sweep"].update(trials=TRIALS))
    project.run("python", "-m", "pipeline.download")
    project.run("python", "-m", "pipeline.preprocess")
    return Search(project, address)


@pytest.fixture
def turn(address) -> Turn:
    return make_turn(create_engine(parse_address(SETTING, address), poolclass=NullPool))


def test_one_process_at_a_time_has_a_turn(turn):
    with turn("trials", 10) as first, turn("trials", 0) as second, turn("mlflow", 0) as other:
        assert (first, second, other) == (True, False, True)
    with turn("trials", 0) as again:
        assert again


def test_a_turn_ends_with_its_holder_and_the_holder_notices(turn, address):
    engine = create_engine(parse_address(SETTING, address), poolclass=NullPool)
    kill = text("SELECT pg_terminate_backend(pid, 60000) FROM pg_locks WHERE locktype = 'advisory'")
    got = []

    def lose_turn() -> None:
        with turn("trials", 0):
            with engine.begin() as connection:
                got.append(connection.execute(kill).scalars().all())
            with turn("trials", 0) as next_one:
                got.append(next_one)

    with pytest.raises(OperationalError):
        lose_turn()
    assert got == [[True], True]


def test_a_wrong_password_is_a_message_that_does_not_show_it(address):
    wrong = "another%20secret"
    with (
        pytest.raises(UserError, match="password authentication failed") as refused,
        open_storage(address.replace(PASSWORD, wrong)),
    ):
        pass
    assert "secret" not in str(refused.value)


def test_a_killed_process_trial_is_tried_again_by_the_other_and_the_budget_is_met(shared_search):
    killed, other = processes = [shared_search.start(), shared_search.start()]
    try:
        dead = kill_in_a_trial(killed, other, shared_search)
        output, errors = other.communicate(timeout=300)
    finally:
        for process in processes:
            process.kill()
    assert other.returncode == 0, errors
    assert f"best of {TRIALS} trials" in output
    found = shared_search.trials()
    finished = [trial for trial in found if trial.state in FINISHED]
    assert len(finished) == TRIALS
    assert len({str(trial.params) for trial in finished}) == TRIALS
    assert [trial.number for trial in found if trial.state not in FINISHED] == [dead.number]
    assert found[dead.number].state == TrialState.FAIL
    (again,) = [trial for trial in finished if trial.params == dead.params]
    assert again.user_attrs["process"] != dead.user_attrs["process"]
    assert len({trial.user_attrs["process"] for trial in finished}) == 2
    runs = shared_search.mlflow_runs()
    assert runs.pop("sweep tiny").info.status == "FINISHED"
    assert {name: run.info.status for name, run in runs.items()} == {
        f"trial {trial.number}": "KILLED" if trial.number == dead.number else "FINISHED" for trial in found
    }
    assert PASSWORD not in output + errors


def kill_in_a_trial(process: subprocess.Popen[str], other: subprocess.Popen[str], search: Search) -> FrozenTrial:
    """After each of two processes has finished a trial, kill one of them in a trial; return that trial."""
    for line in process.stdout:
        if "epoch 1/" not in line:
            continue
        process.send_signal(signal.SIGSTOP)  # so that the trial can't end during the checks
        at_work = {trial.user_attrs["process"].split()[1].split("@")[0] for trial in search.trials(*FINISHED)}
        mine = [t for t in search.trials(TrialState.RUNNING) if f" {process.pid}@" in t.user_attrs.get("process", "")]
        if mine and at_work == {str(process.pid), str(other.pid)}:
            process.kill()
            return mine[0]
        process.send_signal(signal.SIGCONT)
    pytest.fail(f"the other process has met the budget alone: {process.communicate()}")
