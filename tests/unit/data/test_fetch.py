"""Faulty mirrors, simulated by servers on the loopback address."""

import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import permutations
from pathlib import Path

import pytest

from pipeline.cli import UserError
from pipeline.config.catalogue import TEST_IMAGES, TEST_LABELS
from pipeline.config.dataset import IDX_FILES
from pipeline.data.fetch import UnreachableError, fetch, list_mirrors
from tests.helpers.datasets import publish_files

CONTENT = {TEST_IMAGES: b"images" * 1000, TEST_LABELS: b"labels" * 100}
SHA256 = dict.fromkeys(IDX_FILES, "0" * 64) | {name: sha256(content).hexdigest() for name, content in CONTENT.items()}
BAD = ["missing", "html", "wrong", "truncated", "hanging"]


@pytest.fixture(scope="module")
def requests() -> list[str]:
    """The paths that were requested from the server."""
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
    """Fetch the two files from these mirrors; return what is in the folder afterwards."""
    folder.mkdir(exist_ok=True)
    read_s = 1 if any(mirror.endswith("/hanging") for mirror in mirrors) else 60
    fetch("tiny", publish_files(mirrors, SHA256), tuple(CONTENT), folder, retries, timeout_s=(60, read_s))
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
    assert line.startswith(f"{server}/{behaviour}/{TEST_IMAGES}: ")
    assert reason in line
    assert requests == [f"/{behaviour}/{TEST_IMAGES}", f"/good/{TEST_IMAGES}", f"/good/{TEST_LABELS}"]


def test_a_wrong_file_is_reported_with_the_start_of_both_sums(server, tmp_path, capsys):
    fetch_tiny(tmp_path, f"{server}/wrong", f"{server}/good")
    found = sha256(CONTENT[TEST_IMAGES][::-1]).hexdigest()
    assert f"expected {SHA256[TEST_IMAGES][:12]}…, found {found[:12]}…" in capsys.readouterr().out


def test_a_data_set_without_a_public_mirror_needs_one_of_ours(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=rf"tiny has no public mirror: set DATASET_MIRROR .* has tiny/{TEST_IMAGES}"):
        fetch_tiny(tmp_path)
    monkeypatch.setenv("DATASET_MIRROR", tmp_path.as_uri())
    (tmp_path / "tiny").mkdir()
    for name, content in CONTENT.items():
        (tmp_path / "tiny" / name).write_bytes(content)
    assert fetch_tiny(tmp_path / "raw") == CONTENT


@pytest.mark.parametrize("behaviour", ["hanging", "truncated", "refusing"])
def test_that_no_mirror_can_be_reached_is_an_error_of_its_own(server, tmp_path, behaviour):
    with pytest.raises(UnreachableError):
        fetch_tiny(tmp_path, "http://127.0.0.1:9" if behaviour == "refusing" else f"{server}/{behaviour}")


@pytest.mark.parametrize("behaviour", ["missing", "html", "wrong"])
def test_a_mirror_that_answers_otherwise_was_reached(server, tmp_path, behaviour):
    for mirrors in permutations(["http://127.0.0.1:9", f"{server}/{behaviour}"]):
        with pytest.raises(UserError) as error:
            fetch_tiny(tmp_path, *mirrors)
        assert not isinstance(error.value, UnreachableError)


def test_a_mirror_is_tried_again_as_often_as_asked(server, requests, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # pooch waits before it tries again
    requests.clear()
    with pytest.raises(UserError):
        fetch_tiny(tmp_path, f"{server}/wrong", retries=1)
    assert requests == [f"/wrong/{TEST_IMAGES}"] * 2


@pytest.mark.parametrize("behaviour", [*BAD, "refusing"])
def test_if_no_mirror_serves_nothing_is_left_and_the_message_names_the_ways_out(server, tmp_path, behaviour):
    with pytest.raises(UserError) as error:
        fetch_tiny(tmp_path, "http://127.0.0.1:9" if behaviour == "refusing" else f"{server}/{behaviour}")
    for way in (f"tiny's {TEST_IMAGES}", "dvc repro", "DATASET_MIRROR", f"tiny/{TEST_IMAGES}", "dataset: digits"):
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
    assert (own / "tiny" / TEST_IMAGES).exists()


def test_a_folder_without_the_file_is_one_more_mirror_that_fails(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATASET_MIRROR", tmp_path.as_uri())
    assert fetch_tiny(tmp_path / "raw", f"{server}/good") == CONTENT
    assert f"{TEST_IMAGES}: no such file" in capsys.readouterr().out


def test_the_mirrors_are_ours_and_then_the_published_ones(monkeypatch):
    publication = publish_files(("https://a", "https://b"), SHA256)
    assert list_mirrors("tiny", publication) == ["https://a", "https://b"]
    monkeypatch.setenv("DATASET_MIRROR", "https://host/mirror/")
    assert list_mirrors("tiny", publication) == ["https://host/mirror/tiny", "https://a", "https://b"]


@pytest.mark.parametrize("address", ["/data/mirror", "https://", "ftp://host/mirror", "file://data"])
def test_a_mirror_must_be_an_address(monkeypatch, address):
    monkeypatch.setenv("DATASET_MIRROR", address)
    with pytest.raises(UserError, match=rf"'{address}'.*file:///absolute/folder \(three slashes\) or https://…"):
        list_mirrors("tiny", publish_files((), SHA256))
