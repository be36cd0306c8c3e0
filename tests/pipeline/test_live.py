"""MLflow shows the epochs while training runs; training goes on if the store doesn't work."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mlflow.tracking import MlflowClient

from pipeline.tracking.live import LiveRun
from pipeline.tracking.processes import close_dead_runs, identify_process
from pipeline.tracking.store import Store
from tests.helpers.waiting import eventually

INPUTS = {
    "model": "some",
    "dataset": "digits",
    "data_sha256": "0",
    "seed": 7,
    "seeds_per_model": 1,
    "parameters": {"epochs": 2},
}


def epoch(number: int) -> dict:
    return {
        "epoch": number,
        "metrics": {"loss": 1 / number, "val_accuracy": 0.5},
        "seconds": 0.1,
        "finished": f"2026-01-02T03:04:0{number}+00:00",
        "system": {"cpu_utilization_percentage": 50.0},
    }


@pytest.fixture
def store(tmp_path, monkeypatch, empty_database) -> str:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    shutil.copy(empty_database, tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = MlflowClient(uri)
    client.create_experiment("digits", artifact_location=(tmp_path / "mlruns").as_uri())
    return uri


def runs(store: str) -> list:
    client = MlflowClient(store)
    return client.search_runs([client.get_experiment_by_name("digits").experiment_id])


def test_epochs_appear_while_training_runs_and_the_run_finishes(store):
    with LiveRun(INPUTS, shown_after_s=0) as live:
        live.send(epoch(1))
        (run,) = eventually(lambda: [run for run in runs(store) if "epoch/loss" in run.data.metrics])
        assert (run.info.status, run.info.run_name) == ("RUNNING", "some")
        assert run.data.params == {"dataset": "digits", "seed": "7", "seeds_per_model": "1", "epochs": "2"}
        assert run.data.metrics["system/cpu_utilization_percentage"] == 50
        live.send(epoch(2))
    (run,) = runs(store)
    assert (run.info.status, run.data.tags["training"]) == ("FINISHED", live.id)
    history = MlflowClient(store).get_metric_history(run.info.run_id, "epoch/loss")
    assert [(point.step, point.value, point.timestamp) for point in history] == [
        (1, 1.0, 1767323041000), (2, 0.5, 1767323042000),
    ]  # fmt: skip


def test_a_training_that_finishes_soon_is_left_to_register(store):
    with LiveRun(INPUTS) as live:
        live.send(epoch(1))
    assert runs(store) == []


@pytest.mark.parametrize(("raised", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_an_exception_and_an_interrupt_are_shown_however_soon(store, raised, status):
    def train() -> None:
        with LiveRun(INPUTS):
            raise raised("the training doesn't wait for its run")

    with pytest.raises(raised):
        train()
    assert eventually(lambda: [run.info.status for run in runs(store) if run.info.status != "RUNNING"]) == [status]


def test_a_training_that_is_killed_leaves_no_run_running(store):
    code = (
        f"from pipeline.tracking.live import LiveRun\nimport time\nwith LiveRun({INPUTS}, 0) as live: time.sleep(600)"
    )
    training = subprocess.Popen([sys.executable, "-c", code])
    try:
        eventually(lambda: runs(store))
    finally:
        training.send_signal(signal.SIGKILL)
        training.wait()
    eventually(lambda: [run.info.status for run in runs(store)] == ["KILLED"])


def test_runs_that_a_dead_process_left_are_closed_by_the_next(store):
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("digits").experiment_id
    host, _, _ = identify_process().partition(" ")
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = client.create_run(experiment, tags={"process": f"{host} {dead.pid}@1.0"}).info.run_id
    reused = client.create_run(experiment, tags={"process": f"{host} {os.getpid()}@1.0"}).info.run_id
    alive = client.create_run(experiment, tags={"process": identify_process()}).info.run_id
    elsewhere = client.create_run(experiment, tags={"process": f"other-{host} 1@1.0"}).info.run_id
    foreign = client.create_run(experiment).info.run_id
    close_dead_runs(Store(client, experiment, "digits"))
    statuses = {run.info.run_id: run.info.status for run in runs(store)}
    assert {statuses[left], statuses[reused]} == {"KILLED"}
    assert {statuses[alive], statuses[elsewhere], statuses[foreign]} == {"RUNNING"}


@pytest.fixture
def bad_server(request) -> Iterator[str]:
    """A tracking server that answers 500 or doesn't answer."""
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if request.param == "hanging":
                stop.wait(60)
            else:
                self.send_error(500)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    if request.param == "refusing":
        yield "http://127.0.0.1:9"
        return
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    stop.set()
    server.shutdown()


@pytest.mark.parametrize("bad_server", ["refusing", "failing", "hanging"], indirect=True)
def test_a_store_that_does_not_work_costs_a_bounded_wait(bad_server, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", bad_server)
    start = time.monotonic()
    with LiveRun(INPUTS, shown_after_s=0) as live:
        for number in range(1, 5000):  # more than a pipe can hold
            live.send(epoch(1 + number % 9))
    assert time.monotonic() - start < 15
