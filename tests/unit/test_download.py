"""The stage download, with a folder as its mirror."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import download
from pipeline.cli import UserError
from pipeline.config.catalogue import CATALOGUE, TEST_LABELS
from pipeline.config.dataset import IDX_FILES
from pipeline.paths import Workspace
from tests.helpers.datasets import publish_files
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
    """A project whose data set is the small one, and a function that sets its mirrors."""
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
