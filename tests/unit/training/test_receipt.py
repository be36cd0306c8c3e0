import subprocess

import pytest

from pipeline.training import provenance as receipt


@pytest.fixture
def git(tmp_path, monkeypatch):
    """Run git in a new repository with one committed file, `code.py`."""
    monkeypatch.chdir(tmp_path)
    identity = ("-c", "user.name=test", "-c", "user.email=test")

    def run(*arguments: str, **options) -> str:
        command = ("git", *identity, *arguments)
        return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout

    run("init", "--quiet")
    (tmp_path / "code.py").write_text("one\ntwo\n")
    run("add", "code.py")
    run("commit", "--quiet", "--message", "First")
    return run


def test_a_commit_without_changes_is_clean(git, tmp_path):
    (tmp_path / "dvc.lock").write_text("what a run writes")
    git("add", "dvc.lock")
    assert receipt.git_state() == {"commit": git("rev-parse", "HEAD").strip(), "dirty": False, "diff": None}


def test_the_diff_makes_the_changed_files_again(git, tmp_path):
    contents = {"code.py": b"one\n\xc3\xa9 2\n", "new.bin": bytes(range(256))}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    git("add", "new.bin")
    git("config", "color.ui", "always")
    state = receipt.git_state()
    assert state["dirty"] is True
    git("reset", "--hard", "--quiet")
    git("apply", input=state["diff"])
    assert {name: (tmp_path / name).read_bytes() for name in contents} == contents


def test_a_large_diff_is_cut_off(git, tmp_path, monkeypatch):
    monkeypatch.setattr(receipt, "LARGEST_DIFF", 100)
    (tmp_path / "code.py").write_text("x" * 500)
    diff = receipt.git_state()["diff"]
    assert diff.startswith("diff --git a/code.py b/code.py\n")
    assert "[cut off: " in diff
    assert len(diff) < 150


def test_without_git_nothing_is_claimed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert receipt.git_state() == {"commit": None, "dirty": None, "diff": None}
