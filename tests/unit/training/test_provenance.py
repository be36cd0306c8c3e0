import platform
import subprocess
from importlib.metadata import version

import pytest

from pipeline.files import sha256_of
from pipeline.paths import CODE
from pipeline.training import provenance
from pipeline.training.provenance import read_git_state


@pytest.fixture
def git(tmp_path):
    """Run git in a new repository with one committed file, `code.py`."""
    identity = ("-c", "user.name=test", "-c", "user.email=test")

    def run(*arguments: str, **options) -> str:
        command = ("git", *identity, *arguments)
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, **options).stdout

    run("init", "--quiet")
    (tmp_path / "code.py").write_text("one\ntwo\n")
    run("add", "code.py")
    run("commit", "--quiet", "--message", "First")
    return run


def test_a_commit_without_changes_is_clean(git, tmp_path):
    for name in ("dvc.lock", "promotions.jsonl"):
        (tmp_path / name).write_text("what a run writes")
        git("add", name)
    assert read_git_state(tmp_path) == {"commit": git("rev-parse", "HEAD").strip(), "dirty": False, "diff": None}


def test_the_diff_makes_the_changed_files_again(git, tmp_path):
    contents = {"code.py": b"one\n\xc3\xa9 2\n", "new.bin": bytes(range(256))}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    git("add", "new.bin")
    git("config", "color.ui", "always")
    state = read_git_state(tmp_path)
    assert state["dirty"] is True
    git("reset", "--hard", "--quiet")
    git("apply", input=state["diff"])
    assert {name: (tmp_path / name).read_bytes() for name in contents} == contents


def test_a_large_diff_is_cut_off(git, tmp_path):
    (tmp_path / "code.py").write_text("x" * 500)
    diff = read_git_state(tmp_path, max_characters=100)["diff"]
    assert diff.startswith("diff --git a/code.py b/code.py\n")
    assert "[cut off: " in diff
    assert len(diff) < 150


def test_without_git_nothing_is_claimed(tmp_path):
    assert read_git_state(tmp_path) == {"commit": None, "dirty": None, "diff": None}


def test_a_diff_of_the_largest_size_is_kept_whole(git, tmp_path):
    (tmp_path / "code.py").write_text("three\n")
    diff = read_git_state(tmp_path)["diff"]
    assert read_git_state(tmp_path, max_characters=len(diff))["diff"] == diff
    assert "[cut off: " in read_git_state(tmp_path, max_characters=len(diff) - 1)["diff"]


def test_the_code_is_what_a_training_computes_with():
    found = provenance.hash_code()
    assert found["pipeline/training/networks.py"] == sha256_of(CODE / "pipeline/training/networks.py")
    assert "pipeline/train.py" in found
    assert "pipeline/config/__init__.py" not in found  # empty
    assert "pipeline/evaluation/metrics.py" not in found
    assert list(found) == sorted(found, key=lambda path: path.split("/"))


def test_the_receipt_records_code_packages_machine_and_stage(monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "train@some")
    monkeypatch.setenv("DVC_EXP_NAME", "bold-name")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "abc")
    found = provenance.collect_provenance(3)
    assert list(found) == ["code_sha256", "lock_sha256", "packages", "machine", "git", "dvc"]
    assert found["lock_sha256"] == sha256_of(CODE / "requirements.lock")
    assert found["packages"]["python"] == platform.python_version()
    assert found["packages"]["keras"] == version("keras")
    assert (found["machine"]["system"], found["machine"]["threads"]) == (platform.platform(), 3)
    assert found["dvc"] == {"stage": "train@some", "experiment": "bold-name", "baseline": "abc"}


def test_every_file_of_a_folder_is_hashed(tmp_path):
    (tmp_path / "further_seeds").mkdir()
    (tmp_path / "further_seeds" / "1.onnx").write_bytes(b"one")
    (tmp_path / "model.onnx").write_bytes(b"model")
    names = ("further_seeds/1.onnx", "model.onnx")
    assert provenance.hash_files(tmp_path) == {name: sha256_of(tmp_path / name) for name in names}
