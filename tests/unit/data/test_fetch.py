"""Mirrors that misbehave, as servers on loopback."""

import hashlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.cli import UserError
from pipeline.data.catalogue import Publication
from pipeline.data.fetch import fetch, list_mirrors

CONTENT = {"images.gz": b"images" * 1000, "labels.gz": b"labels" * 100}
SHA256 = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
BAD = ["missing", "html", "wrong", "truncated", "hanging"]


@pytest.fixture(scope="module")
def requests() -> list[str]:
    """The paths that the server was asked for."""
    return []


@pytest.fixture(scope="module")
def server(requests: list[str]) -> Iterator[str]:
    """A server whose first path segment says how it behaves."""
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
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


@pytest.fixture(autouse=True)
def no_own_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATASET_MIRROR", raising=False)


def fetch_tiny(folder: Path, *mirrors: str, retries: int = 0) -> dict[str, bytes]:
    """Fetch the two files from these mirrors; return what lies in the folder then."""
    folder.mkdir(exist_ok=True)
    fetch("tiny", Publication(mirrors, SHA256), tuple(CONTENT), folder, retries, timeout_s=(0.3, 0.3))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("behaviour", BAD)
def test_the_next_mirror_is_tried(server, tmp_path, behaviour):
    assert fetch_tiny(tmp_path, f"{server}/{behaviour}", f"{server}/good") == CONTENT


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [("missing", "answers 404"), ("html", "sha256 differs"), ("wrong", "sha256 differs"), ("hanging", "ReadTimeout")],
)
def test_a_mirror_that_fails_is_reported_with_the_reason_and_is_tried_last_for_the_next_file(
    server, requests, tmp_path, capsys, behaviour, reason
):
    requests.clear()
    fetch_tiny(tmp_path, f"{server}/{behaviour}", f"{server}/good")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{server}/{behaviour}/images.gz: ")
    assert reason in line
    assert requests == [f"/{behaviour}/images.gz", "/good/images.gz", "/good/labels.gz"]


def test_a_mirror_is_tried_again_as_often_as_asked(server, requests, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # pooch waits before it tries again
    requests.clear()
    with pytest.raises(UserError):
        fetch_tiny(tmp_path, f"{server}/wrong", retries=1)
    assert requests == ["/wrong/images.gz"] * 2


@pytest.mark.parametrize("behaviour", [*BAD, "refusing"])
def test_if_no_mirror_serves_nothing_is_left_and_the_message_names_the_ways_out(server, tmp_path, behaviour):
    with pytest.raises(UserError) as error:
        fetch_tiny(tmp_path, "http://127.0.0.1:9" if behaviour == "refusing" else f"{server}/{behaviour}")
    for way in ("tiny's images.gz", "dvc repro", "DATASET_MIRROR", "tiny/images.gz", "dataset: digits"):
        assert way in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_files_can_be_read_by_other_users(server, tmp_path):
    fetch_tiny(tmp_path, f"{server}/good")
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}


def test_a_fault_of_this_machine_is_not_blamed_on_the_mirror(server, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise PermissionError("disk")

    monkeypatch.setattr("pooch.Pooch.fetch", fail)
    with pytest.raises(PermissionError, match="disk"):
        fetch_tiny(tmp_path, f"{server}/good")


def test_dataset_mirror_comes_first_and_may_be_a_folder(server, requests, tmp_path, monkeypatch):
    own = tmp_path / "my mirror"
    (own / "tiny").mkdir(parents=True)
    for name, content in CONTENT.items():
        (own / "tiny" / name).write_bytes(content)
    monkeypatch.setenv("DATASET_MIRROR", own.as_uri())
    requests.clear()
    assert fetch_tiny(tmp_path / "raw", f"{server}/missing") == CONTENT
    assert not requests
    assert (own / "tiny" / "images.gz").exists()


def test_a_folder_without_the_file_is_one_more_mirror_that_fails(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATASET_MIRROR", tmp_path.as_uri())
    assert fetch_tiny(tmp_path / "raw", f"{server}/good") == CONTENT
    assert "images.gz: no such file" in capsys.readouterr().out


def test_the_mirrors_are_ours_and_then_the_published_ones(monkeypatch):
    publication = Publication(("https://a", "https://b"), {})
    assert list_mirrors("tiny", publication) == ["https://a", "https://b"]
    monkeypatch.setenv("DATASET_MIRROR", "https://host/mirror/")
    assert list_mirrors("tiny", publication) == ["https://host/mirror/tiny", "https://a", "https://b"]


@pytest.mark.parametrize("address", ["/data/mirror", "https://", "ftp://host/mirror", "file://data"])
def test_a_mirror_must_be_an_address(monkeypatch, address):
    monkeypatch.setenv("DATASET_MIRROR", address)
    with pytest.raises(UserError, match=rf"'{address}'.*file://"):
        list_mirrors("tiny", Publication((), {}))
