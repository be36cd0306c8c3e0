"""If no mirror responds, `make run` switches to the data set digits; otherwise it changes nothing."""

from hashlib import sha256
from pathlib import Path

import pytest

from pipeline.cli import UserError
from pipeline.commands import offline
from pipeline.config.catalogue import CATALOGUE, TEST_IMAGES, TEST_LABELS
from pipeline.config.dataset import IDX_FILES
from pipeline.config.params import load
from pipeline.data.fetch import UnreachableError
from pipeline.paths import Workspace
from tests.helpers.datasets import publish_files
from tests.helpers.params import PARAMS

SHA256 = {file: sha256(file.encode()).hexdigest() for file in IDX_FILES}
UNREACHABLE = publish_files(("http://127.0.0.1:9",), SHA256)


def write_files(folder: Path) -> None:
    """Write the data set's files, as published."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in IDX_FILES:
        (folder / file).write_bytes(file.encode())


@pytest.fixture
def workspace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Workspace:
    """A project with only params.yaml, no reachable mirror of MNIST, and an empty DVC cache."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.setitem(CATALOGUE, "mnist", UNREACHABLE)
    monkeypatch.setattr(offline, "restore_from_cache", lambda: False)
    monkeypatch.delenv("DATASET_MIRROR", raising=False)
    return Workspace(tmp_path)


def test_without_a_mirror_make_run_turns_to_digits_and_its_epochs_and_changes_nothing_else(workspace, capsys):
    before = workspace.params.read_text()
    offline.main(workspace)
    expected = load(workspace.params).model_dump()
    assert expected["dataset"] == "digits"
    for name in expected["presets"]:
        expected["models"][name]["epochs"] //= offline.EPOCHS_FACTOR
    workspace.params.write_text(before)
    assert expected == load(workspace.params).model_dump() | {"dataset": "digits"}
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert "digits" in lines[0]
    assert "git checkout params.yaml" in lines[0]


def test_of_digits_make_run_asks_for_no_writers(workspace):
    workspace.params.write_text(workspace.params.read_text() + "\nwriters: true  # who wrote them\n")
    offline.main(workspace)
    assert not load(workspace.params).writers
    assert "writers: false  # who wrote them" in workspace.params.read_text()


@pytest.mark.parametrize("line", ["dataset: mnist  # the classic", "dataset:   mnist"])
def test_make_run_keeps_what_stands_beside_the_name(workspace, line):
    workspace.params.write_text(workspace.params.read_text().replace("dataset: mnist", line))
    offline.main(workspace)
    assert line.replace("mnist", "digits") in workspace.params.read_text().splitlines()
    assert load(workspace.params).dataset == "digits"


def test_a_name_that_make_run_cannot_replace_is_an_error_that_says_what_to_write(workspace):
    text = workspace.params.read_text()
    workspace.params.write_text(text.replace("dataset: mnist", "? dataset\n: mnist"))
    with pytest.raises(UserError, match=r"no mirror of mnist answers.*`dataset: digits`"):
        offline.main(workspace)


def test_make_run_does_not_take_a_mistyped_mirror_for_a_missing_network(workspace, monkeypatch):
    monkeypatch.setenv("DATASET_MIRROR", "/data/mirror")
    before = workspace.params.read_text()
    with pytest.raises(UserError, match="DATASET_MIRROR"):
        offline.main(workspace)
    assert workspace.params.read_text() == before


def test_an_unknown_data_set_is_refused(workspace):
    workspace.params.write_text(workspace.params.read_text().replace("dataset: mnist", "dataset: mnits"))
    with pytest.raises(UserError, match="'mnits'"):
        offline.main(workspace)


@pytest.mark.parametrize("source", ["mirror", "disk", "cache"])
def test_with_the_data_at_hand_make_run_stays(workspace, monkeypatch, source):
    mirror = workspace.root / "mirror"
    folder = {"mirror": mirror / "mnist", "disk": workspace.raw, "cache": mirror}[source]
    write_files(folder)
    if source == "mirror":
        monkeypatch.setenv("DATASET_MIRROR", mirror.as_uri())
    if source == "cache":
        monkeypatch.setattr(offline, "restore_from_cache", lambda: True)
    before = workspace.params.read_text()
    offline.main(workspace)
    assert workspace.params.read_text() == before


def test_digits_need_nothing(workspace, capsys):
    workspace.params.write_text(workspace.params.read_text().replace("dataset: mnist", "dataset: digits"))
    offline.main(workspace)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("content", "reason"), [(b"other", "its sha256 differs"), (None, "no such file")])
def test_a_mirror_without_the_published_file_is_an_error_and_no_missing_network(
    workspace, monkeypatch, content, reason
):
    mirror = workspace.root / "mirror"
    write_files(mirror / "mnist")
    monkeypatch.setenv("DATASET_MIRROR", mirror.as_uri())
    file = mirror / "mnist" / TEST_LABELS
    file.unlink() if content is None else file.write_bytes(content)
    before = workspace.params.read_text()
    with pytest.raises(UserError, match=rf"{file.as_uri()}: .*{reason}(.|\n)*Three ways out"):
        offline.main(workspace)
    assert workspace.params.read_text() == before
    monkeypatch.setattr(offline, "restore_from_cache", lambda: True)
    offline.main(workspace)
    assert workspace.params.read_text() == before


def test_a_private_data_set_without_its_mirror_is_an_error(workspace, monkeypatch):
    monkeypatch.setitem(CATALOGUE, "mnist", publish_files((), SHA256))
    before = workspace.params.read_text()
    with pytest.raises(UserError, match="mnist has no public mirror: set DATASET_MIRROR"):
        offline.main(workspace)
    assert workspace.params.read_text() == before


def test_data_are_downloaded_only_if_every_file_is_there_as_published(tmp_path):
    write_files(tmp_path)
    (tmp_path / TEST_IMAGES).unlink()
    assert not offline.is_downloaded(UNREACHABLE, tmp_path)
    (tmp_path / TEST_IMAGES).write_bytes(b"other images")
    assert not offline.is_downloaded(UNREACHABLE, tmp_path)
    write_files(tmp_path)
    assert offline.is_downloaded(UNREACHABLE, tmp_path)


def test_a_mirror_that_is_probed_prints_nothing(workspace, capsys):
    with pytest.raises(UnreachableError):
        offline.probe_mirrors("mnist", CATALOGUE["mnist"])
    assert capsys.readouterr().out == ""
