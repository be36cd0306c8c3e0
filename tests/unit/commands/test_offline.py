"""Where no mirror responds, `make run` turns to digits; otherwise it changes nothing."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.cli import UserError
from pipeline.commands import offline
from pipeline.config.params import load
from pipeline.data.catalogue import CATALOGUE, TEST_IMAGES, TEST_LABELS, Publication
from pipeline.paths import Workspace
from tests.helpers.params import PARAMS


@pytest.fixture
def workspace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Workspace:
    """A project with params.yaml alone, MNIST without a mirror, and nothing in DVC's cache."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.setitem(CATALOGUE, "mnist", replace(CATALOGUE["mnist"], mirrors=()))
    monkeypatch.setattr(offline, "restore_from_cache", lambda: False)
    monkeypatch.delenv("DATASET_MIRROR", raising=False)
    return Workspace(tmp_path)


def test_without_a_mirror_make_run_turns_to_digits_and_changes_nothing_else(workspace, monkeypatch, capsys):
    monkeypatch.setitem(CATALOGUE, "mnist", replace(CATALOGUE["mnist"], mirrors=("http://127.0.0.1:9",)))
    before = workspace.params.read_text()
    offline.main(workspace)
    assert workspace.params.read_text() == before.replace("dataset: mnist", "dataset: digits")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert "digits" in lines[0]
    assert "`dataset: mnist`" in lines[0]


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
    files = {TEST_LABELS: hashlib.sha256(b"labels").hexdigest()}
    monkeypatch.setitem(CATALOGUE, "mnist", Publication((), files))
    mirror = workspace.root / "mirror"
    folder = {"mirror": mirror / "mnist", "disk": workspace.raw, "cache": mirror}[source]
    folder.mkdir(parents=True)
    (folder / TEST_LABELS).write_bytes(b"labels")
    if source == "mirror":
        monkeypatch.setenv("DATASET_MIRROR", mirror.as_uri())
    if source == "cache":
        monkeypatch.setattr(offline, "restore_from_cache", lambda: True)
    before = workspace.params.read_text()
    offline.main(workspace)
    assert workspace.params.read_text() == before


def test_data_are_downloaded_only_if_every_file_is_there_as_published(tmp_path, monkeypatch):
    contents = {TEST_LABELS: b"labels", TEST_IMAGES: b"images"}
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setitem(CATALOGUE, "mnist", Publication((), sums))
    (tmp_path / TEST_LABELS).write_bytes(b"labels")
    assert not offline.is_downloaded("mnist", tmp_path)
    (tmp_path / TEST_IMAGES).write_bytes(b"other images")
    assert not offline.is_downloaded("mnist", tmp_path)
    (tmp_path / TEST_IMAGES).write_bytes(b"images")
    assert offline.is_downloaded("mnist", tmp_path)


def test_a_mirror_that_is_probed_prints_nothing(workspace, capsys):
    assert not offline.mirror_responds("mnist")
    assert capsys.readouterr().out == ""
