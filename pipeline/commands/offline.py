"""For `make run`: where no mirror can be reached, switch params.yaml to `digits`, which needs no network."""

import re
import subprocess
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from pipeline.cli import UserError, run
from pipeline.config.catalogue import CATALOGUE, TEST_LABELS
from pipeline.config.dataset import Dataset
from pipeline.config.params import Params, load
from pipeline.data.fetch import UnreachableError, fetch, is_downloaded, list_mirrors
from pipeline.paths import Workspace

EPOCHS_FACTOR = 10  # digits has a forty-sixth of MNIST's training images


def main(workspace: Workspace = Workspace()) -> None:
    """Switch to `digits` unless the built-in data set is here, can be downloaded, or is in DVC's cache.

    Raise UserError, with the reasons, if a mirror was reached but lacks the published files.
    """
    params = load(workspace.params)
    name, dataset = params.dataset, params.data
    if name not in CATALOGUE or not dataset.files:  # nothing can replace own data
        return
    list_mirrors(name, dataset)  # a malformed address is a mistake to fix, not a missing network
    if is_downloaded(dataset, workspace.raw):
        return
    try:
        probe_mirrors(name, dataset)
    except UserError as error:
        if restore_from_cache():
            return
        if not isinstance(error, UnreachableError):
            raise
        switch_to_digits(workspace.params, params)


def switch_to_digits(path: Path, params: Params) -> None:
    """Write `dataset: digits`, and EPOCHS_FACTOR times the epochs of each preset, into params.yaml.

    The writers of digits aren't known, so `writers` becomes false. Raise UserError if the file's lines have another
    form.
    """
    text, name = path.read_text(), params.dataset
    text, changed = re.subn(r"^(dataset:[ \t]*)[^\s#]+", r"\1digits", text, count=1, flags=re.MULTILINE)
    if params.writers:
        text, found = re.subn(r"^(writers:[ \t]*)true\b", r"\1false", text, count=1, flags=re.MULTILINE)
        changed = changed and found
    for preset in params.presets:
        line = rf"(^  {preset}:[^\n]*\n(?:(?:    [^\n]*|[ \t]*)\n)*?    epochs:[ \t]*){params.models[preset].epochs}\b"
        epochs = EPOCHS_FACTOR * params.models[preset].epochs
        text, found = re.subn(line, rf"\g<1>{epochs}", text, count=1, flags=re.MULTILINE)
        changed = changed and found
    if not changed:
        raise UserError(f"no mirror of {name} answers; to run without a network, set `dataset: digits` in {path}")
    path.write_text(text)
    print(
        f"No mirror of {name} answers: running on digits, which needs no network. It has 1,198 training images, so "
        f"each preset has {EPOCHS_FACTOR} times its epochs. params.yaml now says so. To return to "
        f"{name}, undo these changes there, or run `git checkout params.yaml`, which drops every uncommitted change to "
        "that file; then run `make run`."
    )


def probe_mirrors(name: str, dataset: Dataset) -> None:
    """Fetch the data set's smallest file, and delete it.

    Raise UnreachableError if no mirror can be reached, UserError with each mirror's reason if none has it as published.
    """
    reasons = StringIO()
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(reasons):
        try:
            fetch(name, dataset, (TEST_LABELS,), Path(folder), retries=0)
        except UnreachableError:
            raise
        except UserError as error:
            raise UserError(f"{reasons.getvalue()}{error}") from None


def restore_from_cache() -> bool:
    """Let DVC restore data/raw from its cache; return whether it could."""
    return subprocess.run(("dvc", "repro", "--quiet", "download"), capture_output=True).returncode == 0


if __name__ == "__main__":
    run(main)
