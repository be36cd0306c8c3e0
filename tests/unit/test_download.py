"""The stage `download`, with a folder as the mirror."""

import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import download
from pipeline.cli import UserError
from pipeline.config.catalogue import CATALOGUE, TEST_LABELS, WRITERS, WriterTables
from pipeline.config.dataset import IDX_FILES
from pipeline.data import dvc_cache
from pipeline.paths import Workspace
from tests.helpers.datasets import publish_files
from tests.helpers.dvc_cache import Cache
from tests.helpers.params import PARAMS

CONTENT = {name: name.encode() * 100 for name in IDX_FILES}
SHA256 = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}


@pytest.fixture
def mirror(tmp_path: Path) -> str:
    """The address of a folder that holds the files of a small data set."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    return folder.as_uri()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Workspace, Callable[..., None]]:
    """A project with the small data set, and a function that sets its mirrors."""
    monkeypatch.delenv("DATASET_MIRROR", raising=False)
    parameters = PARAMS.replace("dataset: mnist", "dataset: tiny")
    (tmp_path / "params.yaml").write_text(parameters)

    def set_mirrors(*addresses: str) -> None:
        monkeypatch.setitem(CATALOGUE, "tiny", publish_files(addresses, SHA256))

    return Workspace(tmp_path), set_mirrors


def read_raw(workspace: Workspace) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in workspace.raw.iterdir()}


def test_every_file_of_the_data_set_is_brought(mirror, project, capsys):
    workspace, set_mirrors = project
    set_mirrors(mirror)
    download.main(workspace)
    assert read_raw(workspace) == CONTENT
    assert capsys.readouterr().out == f"tiny: 4 files in {workspace.raw}, as published\n"


def test_what_is_there_stays_when_a_download_fails(mirror, project, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # pooch waits before it tries again
    workspace, set_mirrors = project
    set_mirrors(mirror)
    download.main(workspace)
    (Path(mirror.removeprefix("file://")) / TEST_LABELS).write_bytes(b"wrong")
    with pytest.raises(UserError):
        download.main(workspace)
    assert read_raw(workspace) == CONTENT
    assert list(workspace.raw.parent.iterdir()) == [workspace.raw]


@pytest.fixture
def cache(project, monkeypatch) -> Cache:
    """DVC's cache of the project, whose mirrors can't be reached."""
    workspace, set_mirrors = project
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # pooch waits before it tries again
    set_mirrors("http://127.0.0.1:9")
    (workspace.root / ".dvc").mkdir()
    made = Cache(workspace.root / "cache")
    monkeypatch.setattr(dvc_cache, "find_cache", lambda root: made.folder)
    return made


def test_what_an_earlier_run_downloaded_comes_from_dvcs_cache(cache, project):
    workspace, _ = project
    cache.record("python -m pipeline.download", {}, {"data/raw": cache.put_folder({"other.gz": b"another data set"})})
    cache.record("python -m pipeline.download", {}, {"data/raw": cache.put_folder(CONTENT)})
    download.main(workspace)
    assert read_raw(workspace) == CONTENT


def test_without_the_run_cache_the_files_that_dvc_lock_names_are_taken(cache, project):
    workspace, _ = project
    listing = cache.put_folder(CONTENT)
    record = f"stages:\n  download:\n    outs:\n    - {{path: data/raw, md5: {listing}}}\n"
    (workspace.root / "dvc.lock").write_text(record)
    download.main(workspace)
    assert read_raw(workspace) == CONTENT


def test_only_what_the_cache_lacks_or_has_in_another_form_is_downloaded(cache, project, mirror):
    workspace, set_mirrors = project
    first, second, third, _ = CONTENT
    kept = {first: CONTENT[first], second: b"another file of this name", third: CONTENT[third]}
    cache.record("python -m pipeline.download", {}, {"data/raw": cache.put_folder(kept)})
    dvc_cache.cached_file(cache.folder, cache.put(CONTENT[third])).unlink()  # as `dvc gc` does
    (Path(mirror.removeprefix("file://")) / first).unlink()
    set_mirrors(mirror)
    download.main(workspace)
    assert read_raw(workspace) == CONTENT


@pytest.mark.parametrize("lock", ["<<<<<<< HEAD\n", "stages: {}\n", ""])
def test_a_damaged_record_or_cache_is_passed_over(cache, project, mirror, lock):
    workspace, set_mirrors = project
    (workspace.root / "dvc.lock").write_text(lock)
    cache.record("python -m pipeline.download", {}, {"data/raw": "0" * 32})
    cache.record("python -m pipeline.download", {}, {"data/raw": cache.put(b"[1]")})
    set_mirrors(mirror)
    download.main(workspace)
    assert read_raw(workspace) == CONTENT


@pytest.fixture
def tables(project, monkeypatch) -> Path:
    """A user's own mirror, with the small data set and two tables of its writers; params.yaml asks for the writers."""
    workspace, set_mirrors = project
    set_mirrors()
    own = workspace.root / "own"
    shutil.copytree(workspace.root / "mirror", own / "tiny")
    (own / "who").mkdir()
    files = {"train.tsv.gz": b"train", "test.tsv.gz": b"test"}
    for name, content in files.items():
        (own / "who" / name).write_bytes(content)
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setitem(WRITERS, "tiny", WriterTables("who", (), sums))
    monkeypatch.setenv("DATASET_MIRROR", own.as_uri())
    workspace.params.write_text(workspace.params.read_text() + "\nwriters: true\n")
    return own / "who"


def test_who_wrote_the_images_is_brought_if_it_is_asked_for(mirror, project, tables):
    workspace, _ = project
    download.main(workspace)
    assert read_raw(workspace) == CONTENT | {"train.tsv.gz": b"train", "test.tsv.gz": b"test"}
    workspace.params.write_text(workspace.params.read_text().replace("writers: true", "writers: false"))
    shutil.rmtree(tables)
    download.main(workspace)
    assert read_raw(workspace) == CONTENT


def test_a_mirror_without_the_tables_of_writers_is_an_error_that_says_how_to_do_without(
    mirror, project, tables, monkeypatch
):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # pooch waits before it tries again
    shutil.rmtree(tables)
    with pytest.raises(UserError, match=r"who's train.tsv.gz(.|\n)*that has who/train.tsv.gz(.|\n)*`writers: false`"):
        download.main(project[0])
    assert not project[0].raw.exists()


def test_an_unknown_data_set_is_refused(tmp_path):
    parameters = PARAMS.replace("dataset: mnist", "dataset: mnits")
    (tmp_path / "params.yaml").write_text(parameters)
    with pytest.raises(UserError, match="'mnits'"):
        download.main(Workspace(tmp_path))


def test_digits_are_written_without_a_mirror(tmp_path):
    parameters = PARAMS.replace("dataset: mnist", "dataset: digits")
    (tmp_path / "params.yaml").write_text(parameters)
    download.main(Workspace(tmp_path))
    assert len(read_raw(Workspace(tmp_path))) == 4


def test_of_own_pictures_only_the_folder_is_noted(tmp_path, capsys):
    section = "datasets:\n  leaves: {folder: pictures/leaves, height: 28, width: 28}"
    parameters = PARAMS.replace("dataset: mnist", f"dataset: leaves\n{section}")
    parameters = parameters.replace(
        "presets: [perceptron, dense_10, dense_512, dense_784_800, cnn_2m, cnn_fast]", "presets: [dense_10]"
    )
    (tmp_path / "params.yaml").write_text(parameters)
    download.main(Workspace(tmp_path))
    assert read_raw(Workspace(tmp_path)) == {"folder.txt": b"pictures/leaves\n"}
    assert "nothing to download" in capsys.readouterr().out
