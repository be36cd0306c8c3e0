"""What every stage shares: errors a user can mend, and outputs that appear whole or not at all."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path


class Problem(Exception):
    """A fault that is the user's to mend: its text names the cause, what is allowed and the next step."""


def run(main: Callable[..., None], *arguments: str) -> None:
    """Call `main` with the command line's arguments; exit 1 with one message on a fault the user can mend.

    `arguments` names the positional arguments that `main` takes.
    """
    given = sys.argv[1:]
    if len(given) != len(arguments):
        usage = " ".join(f"<{name}>" for name in arguments)
        module = sys.modules["__main__"].__spec__.name.removesuffix(".__main__")
        sys.exit(f"usage: python -m {module} {usage}".rstrip())
    # A terminated stage ends as an interrupted one does: it publishes nothing, and says so.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main(*given)
    except Problem as problem:
        sys.exit(f"error: {problem}")
    except OSError as error:
        # A full disk or a missing permission is told, not traced; the file's name is in the error.
        sys.exit(f"error: {error}; nothing was published, mend it and run the stage again")
    except KeyboardInterrupt:
        print("interrupted: nothing was published, run the stage again", file=sys.stderr)
        sys.exit(130)


@contextmanager
def publish(folder: Path) -> Iterator[Path]:
    """Yield an empty scratch folder that takes the name `folder` only if the block ends without an error."""
    scratch = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def silence() -> Iterator[None]:
    """Send stderr nowhere: TensorFlow, its converters and LiteRT remark on the machine where no setting stops them."""
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def write_json(path: Path, content: dict) -> None:
    """Write `content` as JSON that a person can read and a diff can follow."""
    path.write_text(json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict:
    """Read a JSON file that another stage wrote; a missing one says which command makes it."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise missing(path) from None


def missing(path: Path) -> Problem:
    """The Problem of a file that an earlier stage should have written."""
    return Problem(f"{path} is missing: run `dvc repro` (or `dvc pull`, if a remote has it)")


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, as 64 hexadecimal digits."""
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
