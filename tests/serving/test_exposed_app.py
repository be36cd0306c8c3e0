"""The app on a model's folder, without a registry, reachable beyond the loopback address; and how it ends."""

import signal
import socket
from collections.abc import Iterator

import mlflow
import pytest

from tests.helpers.server import CHAMPION, Server, running


@pytest.fixture(scope="module")
def exposed(project, tmp_path_factory) -> Iterator[Server]:
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/mlflow.db")
    folder = mlflow.artifacts.download_artifacts(CHAMPION, dst_path=str(tmp_path_factory.mktemp("model")))
    options = ("--host", "0.0.0.0", "--allow-host", "Digits.Example")
    with running(project, *options, model=folder, MLFLOW_TRACKING_URI="sqlite:////nowhere/mlflow.db") as server:
        yield server


def test_a_folder_is_served_as_it_is(exposed):
    ready = exposed.get("/readyz").json
    assert (ready["status"], ready["model"]["version"], ready["model"]["dataset"]) == ("ready", None, "digits")
    assert exposed.predict(bytes(784)).json["model"] == {"name": "digits", "version": None}


def test_listening_beyond_the_loopback_is_warned_of(exposed):
    assert exposed.log.startswith("warning: listening on 0.0.0.0")
    assert exposed.get("/ping", Host="digits.example").status == 200
    assert exposed.get("/ping", Host="digits.example.org").status == 400
    assert exposed.get("/healthz", Host="10.244.1.7").status == 200


def test_no_answer_names_the_server(exposed):
    assert "server" not in exposed.get("/").headers


def test_a_request_in_flight_is_answered_when_the_server_is_stopped(exposed):
    """This is the last test in this file, because it ends the server."""
    with socket.create_connection(("127.0.0.1", exposed.port), 30) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n")
        client.sendall(b"Expect: 100-continue\r\nContent-Length: 784\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 100")  # so the request has begun
        exposed.process.send_signal(signal.SIGTERM)
        client.sendall(bytes(784))
        assert client.makefile("rb").readline().startswith(b"HTTP/1.1 200")
        exposed.process.wait(30)
    assert "Traceback" not in exposed.log
