import shutil
import sqlite3

import pytest

from pipeline.cli import UserError
from pipeline.tracking.location import find_other_folder, lock_registry, require_usable, store_label, store_uri
from pipeline.tracking.store import connect


def test_the_store_is_a_file_at_the_projects_root_unless_it_is_named(root, monkeypatch):
    assert store_uri() == f"sqlite:///{root}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://example.org")
    assert store_uri() == "http://example.org"


@pytest.mark.parametrize(
    ("uri", "label"),
    [
        ("", "mlflow.db"),
        ("sqlite:///{root}/stores/other.db", "stores/other.db"),
        ("sqlite:////elsewhere/mlflow.db", "sqlite:////elsewhere/mlflow.db"),
        ("https://somebody:secret@example.org/mlflow", "https://example.org/mlflow"),
    ],
)
def test_the_journal_names_a_store_without_the_projects_folder_and_without_a_password(root, monkeypatch, uri, label):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(root=root))
    assert store_label() == label


def test_the_registrys_lock_is_beside_the_store_for_all_checkouts(root, monkeypatch, tmp_path):
    with lock_registry() as lock:
        assert lock.lock_file == str(root / "mlflow.db.register.lock")
    (tmp_path / "shared").mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/shared/mlflow.db")
    paths = set()
    for checkout in ("one", "two"):
        monkeypatch.setenv("DVC_ROOT", str(tmp_path / checkout))
        paths.add(lock_registry().lock_file)
    assert paths == {str(tmp_path / "shared/mlflow.db.register.lock")}


def test_servers_have_locks_of_their_own(root, monkeypatch):
    paths = set()
    for uri in ("http://one.example", "http://two.example"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        paths.add(lock_registry().lock_file)
    assert len(paths) == 2


def test_a_stores_folder_that_does_not_exist_is_reported_and_not_made(root, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mistyped/mlflow.db")
    with pytest.raises(UserError, match=r"the folder .*/mistyped doesn't exist"):
        lock_registry()
    assert not (root / "mistyped").exists()


def test_a_file_that_is_no_database_is_reported_at_once(root):
    (root / "mlflow.db").write_text("notes")
    with pytest.raises(UserError, match=r"mlflow.db is no SQLite database: move it away.*rebuild-tracking"):
        require_usable()
    (root / "mlflow.db").write_text("")  # as SQLite begins
    require_usable()


@pytest.fixture
def moved(store, root, monkeypatch):
    """The project's folder after a move: to a name with a space."""
    folder = root / "a copy"
    folder.mkdir()
    shutil.copy(root / "mlflow.db", folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    return folder


def test_a_store_that_came_with_a_moved_or_copied_folder_is_refused_with_both_names(moved, root):
    with pytest.raises(UserError) as error:
        connect("digits")
    assert f"belongs to the folder {root}, and this is {moved}:" in str(error.value)
    assert "`make rebuild-tracking`" in str(error.value)


def test_a_store_that_is_named_may_keep_its_artefacts_anywhere(moved, root, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
    assert find_other_folder() is None


@pytest.mark.parametrize("location", ["s3://bucket/mlruns/digits", "file:///elsewhere/chosen"])
def test_artefacts_that_were_put_elsewhere_on_purpose_are_no_other_projects(store, root, location):
    with sqlite3.connect(root / "mlflow.db") as database:
        database.execute("UPDATE experiments SET artifact_location = ? WHERE name = 'digits'", (location,))
    assert find_other_folder() is None


def test_this_folder_may_have_a_space_in_its_name(moved):
    (moved / "mlflow.db").unlink()
    connect("digits")
    assert find_other_folder() is None
    connect("digits")
