"""Where MLflow's store is: its address, its name in the journal, its locks, and whether it belongs to this folder."""

import os
import re
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from pipeline.cli import UserError
from pipeline.paths import project_root
from serving.environment import without_password

SQLITE = "sqlite:///"
START_SERVER = (
    "start `mlflow server --backend-store-uri postgresql+psycopg://… --artifacts-destination s3://BUCKET/FOLDER`, or a "
    "folder of the server's, and set MLFLOW_TRACKING_URI to http://HOST:PORT"
)
SQLITE_HEADER = b"SQLite format 3\0"  # https://www.sqlite.org/fileformat.html#magic_header_string


def store_uri() -> str:
    """Return MLFLOW_TRACKING_URI, else one SQLite file at the project's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{project_root() / 'mlflow.db'}"


def store_file() -> Path | None:
    """Return the store's SQLite file; None if the store is something else."""
    uri = store_uri()
    return Path(uri.removeprefix(SQLITE)).resolve() if uri.startswith(SQLITE) else None


def is_server(uri: str) -> bool:
    """Return whether an address is that of a server, which knows where its artefacts belong."""
    return uri.startswith(("http://", "https://", "databricks"))


def store_label() -> str:
    """Return the store's name in the journal: for a file in the project its relative path, else the store's address.

    So the name stays the same when the project's folder moves. It has no password.
    """
    file = store_file()
    if file is None:
        return without_password(store_uri())
    root = project_root()
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else f"{SQLITE}{file}"


def require_address(uri: str) -> None:
    """Raise UserError if the password in an address isn't percent-encoded.

    Such a password would be cut in two, and its second part would be shown as a host's name.
    """
    rest = uri.partition("://")[2]
    before, at, after = re.split(r"[/?#]", rest)[0].rpartition("@")
    is_cut = not at and "@" in rest and not re.fullmatch(r"[^:]*(:\d*)?", after)
    if is_cut or "@" in before or re.search(r"%(?![0-9A-Fa-f]{2})", before):
        raise UserError(
            f"the address {without_password(uri)} has a password with characters that must be percent-encoded: "
            "write @ as %40, / as %2F, ? as %3F, # as %23 and % as %25"
        )


def lock_store(purpose: str) -> FileLock:
    """Return a lock for all processes that use the store on this machine: a file beside the store's file.

    For a server the lock is in this project, so other checkouts and machines don't wait for it.
    """
    file = store_file()
    if file is None:
        digest = sha256(store_uri().encode()).hexdigest()[:16]
        return FileLock(project_root() / f"mlflow.db.{digest}.{purpose}lock")
    if not file.parent.is_dir():
        raise UserError(f"MLflow's store {store_uri()} can't be used: the folder {file.parent} doesn't exist")
    return FileLock(file.with_name(f"{file.name}.{purpose}lock"))


def artifact_folder(name: str) -> Path:
    """Return the folder of one data set's artefacts in the project's own store."""
    return project_root() / "mlruns" / name


def require_no_database() -> None:
    """Raise UserError if the store is a database without a server, or if its password isn't percent-encoded.

    With such a database, MLflow would keep each artefact in a folder of the machine that makes it.
    """
    uri = store_uri()
    require_address(uri)
    if re.match(r"(postgres|mysql|mssql)\w*(\+\w+)?://", uri):
        raise UserError(
            f"{without_password(uri)} is a database, with which each machine would keep its artefacts in a folder of "
            f"its own: {START_SERVER}"
        )


def require_usable() -> None:
    """Raise UserError if the store is a database without a server, is no database, or belongs to another folder.

    MLflow would try a file that is no database for half a minute. It keeps absolute paths: the store of a copied
    folder would write into the original's artefacts, and that of a moved folder has lost its own.
    """
    require_no_database()
    file = store_file()
    if file is None or not file.exists() or not file.stat().st_size:
        return
    with file.open("rb") as opened:
        if opened.read(len(SQLITE_HEADER)) != SQLITE_HEADER:
            raise UserError(f"{file} is no SQLite database: move it away, and `make rebuild-tracking` makes it again")
    if other := find_other_folder():
        raise UserError(
            f"{file} belongs to the folder {other}, and this is {project_root()}: the project was moved or copied. "
            "Run `make rebuild-tracking`: it moves the file aside and makes one for this folder, and leaves the other "
            "folder alone"
        )


def find_other_folder() -> Path | None:
    """Return the project folder in which the project's own store keeps its artefacts; None if it is this folder."""
    file = store_file()
    if file != project_root() / "mlflow.db" or not file.exists():
        return None
    # Read it without MLflow, which would write to the file; MLflow reports a file that can't be read here.
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT name, artifact_location FROM experiments").fetchall()
    except sqlite3.Error:
        return None
    for name, location in rows:
        parts = urlsplit(str(location))
        folder = Path(unquote(parts.path))
        if parts.scheme == "file" and folder.parts[-2:] == ("mlruns", name) and folder != artifact_folder(name):
            return folder.parent.parent
    return None
