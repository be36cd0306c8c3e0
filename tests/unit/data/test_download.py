"""Mirrors that misbehave, as servers on loopback."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline import download
from pipeline.cli import UserError
from pipeline.commands import offline as fallback
from pipeline.config.params import load

CONTENT = {"images.gz": b"images" * 1000, "labels.gz": b"labels" * 100}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server whose first path segment says how it behaves."""
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            behaviour, file = self.path.split("/")[1], self.path.split("/")[-1]
            content, length = CONTENT[file], None
            if behaviour == "missing":
                return self.send_error(404)
            if behaviour == "hanging":
                stop.wait(30)
                return None
            if behaviour == "html":
                content = b"<html>Log in to the hotel's network</html>"
            if behaviour == "wrong":
                content = content[::-1]
            if behaviour == "truncated":
                length, content = len(content), content[:-10]
            self.send_response(200)
            self.send_header("Content-Length", str(length or len(content)))
            self.end_headers()
            self.wfile.write(content)
            return None

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    stop.set()
    httpd.shutdown()


BAD = ["missing", "html", "wrong", "truncated", "hanging"]


@pytest.fixture
def catalogue(monkeypatch, tmp_path):
    """A catalogue of one small data set; returns a function that sets its mirrors."""
    files = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.delenv("DATASET_MIRROR", raising=False)
    monkeypatch.setattr(download, "TIMEOUT", (0.5, 0.5))
    monkeypatch.setattr(download, "RAW", tmp_path / "raw")
    monkeypatch.setattr(download, "load", lambda: type("Params", (), {"dataset": "tiny"}))

    def set_mirrors(*addresses: str) -> None:
        monkeypatch.setitem(download.CATALOGUE, "tiny", {"mirrors": addresses, "files": files})

    return set_mirrors


def downloaded() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in download.RAW.iterdir()}


@pytest.mark.parametrize("behaviour", BAD)
def test_the_next_mirror_is_tried(server, catalogue, behaviour):
    catalogue(f"{server}/{behaviour}", f"{server}/good")
    download.main()
    assert downloaded() == CONTENT


@pytest.mark.parametrize("behaviour", [*BAD, "refusing"])
def test_if_no_mirror_serves_nothing_is_left_and_the_ways_out_are_told(server, catalogue, behaviour):
    catalogue("http://127.0.0.1:9" if behaviour == "refusing" else f"{server}/{behaviour}")
    with pytest.raises(UserError) as problem:
        download.main()
    for way in ("dvc repro", "DATASET_MIRROR", "dataset: digits"):
        assert way in str(problem.value)
    assert list(download.RAW.parent.iterdir()) == []


def test_what_is_there_stays_when_a_download_fails(server, catalogue):
    catalogue(f"{server}/good")
    download.main()
    catalogue(f"{server}/wrong")
    with pytest.raises(UserError):
        download.main()
    assert downloaded() == CONTENT


def test_dataset_mirror_comes_first_and_may_be_a_folder(server, catalogue, tmp_path, monkeypatch):
    catalogue(f"{server}/missing")
    (tmp_path / "my mirror" / "tiny").mkdir(parents=True)
    for name, content in CONTENT.items():
        (tmp_path / "my mirror" / "tiny" / name).write_bytes(content)
    monkeypatch.setenv("DATASET_MIRROR", (tmp_path / "my mirror").as_uri())
    download.main()
    assert downloaded() == CONTENT
    assert (tmp_path / "my mirror" / "tiny" / "images.gz").exists()


def test_a_folder_without_the_file_is_one_more_mirror_that_fails(server, catalogue, tmp_path, monkeypatch):
    catalogue(f"{server}/good")
    monkeypatch.setenv("DATASET_MIRROR", tmp_path.as_uri())
    download.main()
    assert downloaded() == CONTENT


@pytest.mark.parametrize("address", ["/data/mirror", "https://", "ftp://host/mirror", "file://data"])
def test_a_mirror_must_be_an_address(catalogue, monkeypatch, address):
    catalogue()
    monkeypatch.setenv("DATASET_MIRROR", address)
    with pytest.raises(UserError, match=rf"'{address}'.*file://"):
        download.main()


def test_an_unknown_data_set_is_told():
    with pytest.raises(UserError, match=r"'mnits'.*did you mean 'mnist'.*kmnist"):
        download.catalogued("mnits")


def test_every_published_data_set_has_two_https_mirrors_and_a_sum_for_each_of_four_files():
    for name, entry in download.CATALOGUE.items():
        if name != "digits":
            assert len(entry["mirrors"]) >= 2
            assert all(address.startswith("https://") for address in entry["mirrors"])
            assert len(entry["files"]) == 4
            assert all(len(bytes.fromhex(expected)) == 32 for expected in entry["files"].values())


@pytest.fixture
def parameters(monkeypatch, tmp_path):
    """A params.yaml for fallback to change."""
    path = tmp_path / "params.yaml"
    path.write_text(Path("params.yaml").read_text())
    monkeypatch.setattr(fallback, "PARAMS", path)
    monkeypatch.setattr(fallback, "RAW", tmp_path / "raw")
    monkeypatch.setattr(fallback, "restored", lambda: False)
    monkeypatch.delenv("DATASET_MIRROR", raising=False)
    return path


def test_without_a_mirror_make_run_turns_to_digits_and_changes_nothing_else(parameters, monkeypatch, capsys):
    monkeypatch.setitem(download.CATALOGUE["mnist"], "mirrors", ("http://127.0.0.1:9",))
    before = parameters.read_text()
    fallback.main()
    assert parameters.read_text() == before.replace("dataset: mnist", "dataset: digits")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert "digits" in lines[0]
    assert "`dataset: mnist`" in lines[0]


@pytest.mark.parametrize("line", ["dataset: mnist  # the classic", "dataset:   mnist"])
def test_make_run_keeps_what_stands_beside_the_name(parameters, monkeypatch, line):
    monkeypatch.setitem(download.CATALOGUE["mnist"], "mirrors", ())
    parameters.write_text(parameters.read_text().replace("dataset: mnist", line))
    fallback.main()
    assert line.replace("mnist", "digits") in parameters.read_text().splitlines()
    assert load(parameters).dataset == "digits"


def test_make_run_does_not_take_a_mistyped_mirror_for_a_missing_network(parameters, monkeypatch):
    monkeypatch.setenv("DATASET_MIRROR", "/data/mirror")
    before = parameters.read_text()
    with pytest.raises(UserError, match="DATASET_MIRROR"):
        fallback.main()
    assert parameters.read_text() == before


@pytest.mark.parametrize("source", ["mirror", "disk"])
def test_with_the_data_at_hand_make_run_stays(parameters, monkeypatch, tmp_path, source):
    files = {fallback.TEST_LABELS: hashlib.sha256(b"labels").hexdigest()}
    monkeypatch.setitem(download.CATALOGUE, "mnist", {"mirrors": (), "files": files})
    folder = tmp_path / ("mirror/mnist" if source == "mirror" else "raw")
    folder.mkdir(parents=True)
    (folder / fallback.TEST_LABELS).write_bytes(b"labels")
    if source == "mirror":
        monkeypatch.setenv("DATASET_MIRROR", (tmp_path / "mirror").as_uri())
    before = parameters.read_text()
    fallback.main()
    assert parameters.read_text() == before
