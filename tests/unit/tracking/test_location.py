import shutil
import sqlite3

import pytest

from pipeline.cli import UserError
from pipeline.tracking.location import (
    find_other_folder,
    lock_store,
    require_address,
    require_usable,
    store_label,
    store_uri,
)
from pipeline.tracking.store import connect
from serving.environment import without_password


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:secret@host:5000/x is down", "http://host:5000/x is down"),
        ("no postgresql://me:se@cr/et@host/x", "no postgresql://host/x"),
        ("postgresql://host/x?user=me&password=secret&sslmode=require", "postgresql://host/x?user=me&password=…&sslmode=require"),
        ("http://host/x, and mail me@home", "http://host/x, and mail me@home"),
    ],
)  # fmt: skip
def test_a_text_is_shown_without_the_passwords_of_its_addresses(text, shown):
    assert without_password(text) == shown


@pytest.mark.parametrize("password", ["se@cret", "se/cret", "se?cret", "se#cret", "se%cret"])
def test_a_password_that_would_be_cut_in_two_is_refused_and_not_shown(root, monkeypatch, password):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://me:{password}@host:5432/x")
    with pytest.raises(UserError, match=r"postgresql://host:5432/x has a password .*: write @ as %40") as error:
        require_usable()
    assert "cret" not in str(error.value)


@pytest.mark.parametrize(
    "address",
    ["http://host:5000/prefix@here", "http://host", "https://me:s%40cret@host/", "sqlite:////with@sign/mlflow.db",
     "postgresql+psycopg://me:secret@host/x?options=a@b", "databricks://profile"],
)  # fmt: skip
def test_other_addresses_pass(address):
    require_address(address)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "mysql+pymysql", "mssql"])
def test_a_database_without_a_server_is_refused_with_what_to_start(root, monkeypatch, scheme):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://me:secret@host/x")
    with pytest.raises(
        UserError, match=r"://host/x is a database, .*: start `mlflow server --backend-store-uri"
    ) as error:
        connect("digits")
    assert "secret" not in str(error.value)


def test_servers_have_locks_of_their_own(root, monkeypatch):
    paths = set()
    for uri in ("http://one.example", "http://two.example"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        paths.add(lock_store("").lock_file)
    assert len(paths) == 2


def test_a_stores_folder_that_does_not_exist_is_reported_and_not_made(root, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mistyped/mlflow.db")
    with pytest.raises(UserError, match=r"the folder .*/mistyped doesn't exist"):
        lock_store("")
    assert not (root / "mistyped").exists()


def test_a_file_that_is_no_database_is_reported_at_once(root):
    (root / "mlflow.db").write_text("notes")
    with pytest.raises(UserError, match=r"mlflow.db is no SQLite database: move it away.*rebuild-tracking"):
        require_usable()
    (root / "mlflow.db").write_text("")  # as SQLite creates it
    require_usable()


@pytest.fixture
def moved(store, root, monkeypatch):
    """The project's folder after it was moved to a name with a space."""
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
