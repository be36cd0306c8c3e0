"""Show what made a registered model, and whether the files here still have the recorded hashes: `make lineage`.

`python -m pipeline.commands.lineage [models:/mnist@champion]`. It shows MLflow's record of the run, not the workspace.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pipeline.cli import UserError, first_line, run
from pipeline.commands.champion import read_registered_name
from pipeline.files import sha256_of
from pipeline.paths import LOCK, Workspace
from pipeline.tracking import integrity
from pipeline.tracking.location import store_uri
from pipeline.tracking.registry import CHAMPION
from pipeline.tracking.runs import DIFF, RECEIPT
from pipeline.tracking.store import open_existing, translate_errors
from serving.environment import without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Dataset, Run
    from mlflow.entities.model_registry import ModelVersion


def main(model: str | None = None) -> None:
    """Print what made a model, by default the champion, and the checks; raise UserError if a file isn't as recorded."""
    workspace = Workspace()
    model = model or f"models:/{read_registered_name(workspace)}@{CHAMPION}"
    client = open_existing()  # this command only reads: it makes no store
    with translate_errors():
        version = find_version(client, model)
        training = find_run(client, version)
        assert training.inputs is not None  # each run of this pipeline has its data set
        dataset = training.inputs.dataset_inputs[0].dataset
        with TemporaryDirectory() as scratch:
            receipt = download_receipt(client, training.info.run_id, scratch)
            for label, value in list_facts(model, version, training, receipt, dataset):
                print(f"{label:<12} {value}")
            checks = list(integrity.check_registered(client, version, receipt, Path(scratch)))
    checks += [*integrity.check_data(receipt, dataset, workspace), *integrity.check_workspace(receipt, workspace)]
    print()
    for check in checks:
        print(f"{check.outcome:<12} {check.subject}")
    require_no_faults(checks)
    print(f"\nas recorded: {sum(check.outcome == integrity.SAME for check in checks)} files")


def find_version(client: "MlflowClient", model: str) -> "ModelVersion":
    """Return the registered version that `models:/name@alias` or `models:/name/number` means.

    Raise UserError, with the names of existing versions, if there is none.
    """
    from mlflow.exceptions import MlflowException

    # A quote ends a name in MLflow's filters, and SQLite has no numbers of 20 digits.
    parts = re.fullmatch(r"models:/([^/@'\"`]+)(?:@([^/@]+)|/([0-9]{1,18}))", model)
    if not parts:
        raise UserError(f"{model!r} names no registered model; write models:/mnist@champion or models:/mnist/1")
    name, alias, number = parts.groups()
    try:
        version = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, number)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        available = ", ".join(list_available(client, name))
        raise UserError(
            f"MLflow's store {without_password(store_uri())} has no {model}; it has "
            f"{available or 'no model at all: run `make run`, which registers them'}"
        ) from None
    if "content_key" not in version.tags:
        raise UserError(
            f"{model} was not registered by this pipeline: only versions that the pipeline registers "
            "record what made them; name one of these"
        )
    return version


def find_run(client: "MlflowClient", version: "ModelVersion") -> "Run":
    """Return the run that a version was registered from; raise UserError if it was removed for good."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(str(version.run_id))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise UserError(
            f"run {version.run_id} of models:/{version.name}/{version.version} is gone, and with it the record of what "
            "made this version (`mlflow gc` removes deleted runs for good): `make run` registers the models in models/ "
            "again, each with a run"
        ) from None


def list_available(client: "MlflowClient", name: str) -> list[str]:
    """Return the aliases and versions of one registered model; without any, the aliases of the others."""
    aliases = {entry.name: entry.aliases for entry in client.search_registered_models()}
    own = [f"models:/{name}@{alias}" for alias in aliases.get(name, {})]
    own += [f"models:/{name}/{version.version}" for version in client.search_model_versions(f"name = '{name}'")]
    return own or [f"models:/{other}@{alias}" for other, theirs in aliases.items() for alias in theirs]


def download_receipt(client: "MlflowClient", run_id: str, scratch: str) -> dict[str, Any]:
    """Return the receipt that the run keeps; raise UserError if it is lost or damaged."""
    from mlflow.exceptions import MlflowException

    try:
        receipt: dict[str, Any] = json.loads(Path(client.download_artifacts(run_id, RECEIPT, scratch)).read_text())
        return receipt
    except (OSError, MlflowException):
        raise UserError(
            f"run {run_id} has lost its {RECEIPT}: restore the artifact store, or run `make rebuild-tracking`, which "
            "restores what DVC still has"
        ) from None
    except ValueError as error:
        raise UserError(
            f"the {RECEIPT} of run {run_id} is damaged ({first_line(error)}): restore the artifact store, or delete "
            "the file there and run `make rebuild-tracking`, which restores what DVC still has"
        ) from None


def list_facts(
    model: str, version: "ModelVersion", training: "Run", receipt: Mapping[str, Any], dataset: "Dataset"
) -> Iterator[tuple[str, str]]:
    """Yield what made the model, as pairs of a label and its text."""
    registered = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds")
    yield "model", f"{model}: version {version.version}, {receipt['model']}, registered {registered}"
    yield "run", f"{version.run_id}, trained {receipt['started'][:19]} to {receipt['epochs'][-1]['finished'][:19]} UTC"
    yield "content key", version.tags.get("content_key", "not recorded")
    for key, value in sorted(training.data.metrics.items()):
        if not key.startswith(("epoch/", "system/")):
            yield "metric", f"{key} {value:g}"
    for key, text in sorted(training.data.params.items()):
        yield "parameter", f"{key} {text}"
    yield "data set", f"{receipt['dataset']}, dataset.json sha256 {receipt['data_sha256']}"
    for file, digest in json.loads(dataset.source)["sha256"].items():
        yield "data file", f"{digest}  {file}"
    yield "git commit", describe_commit(receipt["git"])
    for file, digest in receipt["code_sha256"].items():
        yield "code", f"{digest}  {file}{remark_change(Path(file), digest)}"
    lock = receipt.get("lock_sha256")
    yield "environment", f"{lock}  {LOCK}{remark_change(LOCK, lock)}" if lock else "lock file not recorded"
    yield "packages", ", ".join(f"{name} {number}" for name, number in receipt["packages"].items())
    yield "machine", ", ".join(f"{key} {value}" for key, value in receipt["machine"].items())
    yield "dvc", ", ".join(f"{key} {value}" for key, value in receipt["dvc"].items() if value) or "not run by DVC"


def describe_commit(git: Mapping[str, Any]) -> str:
    """Return the commit, whether the code was as committed, and where the difference is kept."""
    diff = f"the run's {DIFF} says how" if git.get("diff") else "how is not recorded"
    state = {True: f"dirty: {diff}", False: "clean", None: "clean or dirty is not known"}[git["dirty"]]
    return f"{git['commit'] or 'not recorded'}, {state}"


def remark_change(path: Path, digest: str) -> str:
    """Return a remark if the workspace's file isn't the recorded one, which is no fault: the code may have changed."""
    return "" if path.exists() and sha256_of(path) == digest else "  (changed since)"


def require_no_faults(checks: list[integrity.Check]) -> None:
    """Raise UserError, with each file that isn't as recorded, if there is one."""
    faults = [f"  {check.outcome}: {check.subject}" for check in checks if check.outcome in integrity.FAULTS]
    if faults:
        raise UserError(
            "not as recorded:\n"
            + "\n".join(faults)
            + "\n`dvc checkout` restores data/ and models/. A registered model "
            "can't be fixed in place: restore the artifact store, or move the alias to another version"
        )


if __name__ == "__main__":
    run(main, "[models:/name@alias]")
