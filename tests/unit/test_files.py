import os

import pytest
from filelock import FileLock

from pipeline import files
from pipeline.cli import UserError
from pipeline.files import publish, read_json


@pytest.fixture
def folder(tmp_path):
    """A published folder."""
    with publish(tmp_path / "some") as scratch:
        (scratch / "file").write_text("old")
    return tmp_path / "some"


def contents(folder) -> dict[str, str]:
    """All files next to the folder and in it, also hidden files."""
    parent = folder.parent
    return {str(path.relative_to(parent)): path.read_text() for path in parent.rglob("*") if path.is_file()}


def replace(folder, *, check=lambda: None) -> None:
    with publish(folder, check) as scratch:
        (scratch / "file").write_text("new")


def refuse() -> None:
    raise UserError("changed")


def test_a_folder_is_replaced_and_nothing_is_left_over(folder):
    replace(folder)
    assert contents(folder) == {"some/file": "new"}


def test_an_error_leaves_what_was_there(folder):
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace(folder, check=interrupt)
    assert contents(folder) == {"some/file": "old"}


def test_what_the_last_check_refuses_is_not_published(folder):
    with pytest.raises(UserError, match="changed"):
        replace(folder, check=refuse)
    assert contents(folder) == {"some/file": "old"}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_process_that_is_killed_at_a_rename_leaves_the_old_or_the_new_whole(folder, number):
    process = os.fork()
    if not process:
        renames = iter(range(number + 1))

        def rename(source, target, replace=os.replace) -> None:
            if next(renames) == number:
                os._exit(9)
            replace(source, target)

        with publish(folder) as scratch:
            (scratch / "file").write_text("new")
            files.os.replace = rename
            files.shutil.rmtree = lambda *arguments, **options: os._exit(9)  # this call comes after both renames
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9
    left = contents(folder)
    assert {name: text for name, text in left.items() if text} == {
        0: {"some/file": "old", ".some.part/file": "new"},
        1: {".some.old/file": "old", ".some.part/file": "new"},
        2: {".some.old/file": "old", "some/file": "new"},
    }[number]
    # The next writer restores it, even if it fails itself.
    with pytest.raises(UserError):
        replace(folder, check=refuse)
    assert contents(folder) == {"some/file": "new" if number == 2 else "old"}


def test_a_second_writer_waits_for_the_first(folder, monkeypatch, capsys):
    first = FileLock(folder.with_name(".some.lock"))
    first.acquire()
    said = []

    def wait(text, **_: object) -> None:
        said.append(text)
        assert contents(folder)["some/file"] == "old"
        first.release()

    monkeypatch.setattr(files, "print", wait, raising=False)
    replace(folder)
    assert said == [f"{folder}: another process is writing it; waiting until that ends"]
    assert contents(folder) == {"some/file": "new"}


def test_a_link_gives_way_to_a_folder(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("kept")
    (tmp_path / "some").symlink_to(tmp_path / "elsewhere")
    replace(tmp_path / "some")
    assert {path.name for path in tmp_path.iterdir()} == {"some", "elsewhere"}
    assert (tmp_path / "some" / "file").read_text() == "new"
    assert (tmp_path / "elsewhere" / "file").read_text() == "kept"


@pytest.mark.parametrize("content", [b"", b'{"name": "dig', b"[1]", b"\xff\xfe{}"])
def test_a_damaged_json_file_is_reported(tmp_path, content):
    path = tmp_path / "dataset.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"dataset.json is damaged \(.+\): run `dvc repro`"):
        read_json(path)


def test_a_missing_json_file_is_reported(tmp_path):
    with pytest.raises(UserError, match=r"dataset.json is missing: run `dvc repro`"):
        read_json(tmp_path / "dataset.json")
