"""From a registered model to all that made it, and whether what lies here still has the recorded hashes.

`python -m pipeline.lineage [models:/mnist@champion]`. What MLflow keeps of the run is believed, not the workspace.
"""

import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.cli import UserError, run
from pipeline.files import read_json, sha256_of
from pipeline.tracking import integrity
from pipeline.tracking import store as tracking
from pipeline.tracking.trained_model import LOCK

REGISTRY = Path("registry")


def main(model: str | None = None) -> None:
    model = model or f"models:/{read_json(REGISTRY / 'registry.json')['name']}@champion"

    from mlflow.exceptions import MlflowException

    try:
        # The one experiment that each store has: to look is not to make another.
        client, _ = tracking.connect("Default")
        version = find_version(client, model)
        training = client.get_run(version.run_id)
        dataset = training.inputs.dataset_inputs[0].dataset
        with TemporaryDirectory() as scratch:
            receipt = logged_receipt(client, version.run_id, scratch)
            for label, value in facts(model, version, training, receipt, dataset):
                print(f"{label:<12} {value}")
            checks = list(integrity.check_registered(client, version, receipt, Path(scratch)))
    except MlflowException as error:
        raise UserError(
            f"MLflow's store {tracking.uri()} refuses: {error.message}. Start the store, or unset MLFLOW_TRACKING_URI "
            "to use the file beside the project"
        ) from None
    checks += [*integrity.check_data(receipt, dataset), *integrity.check_workspace(receipt)]
    print()
    for outcome, what in checks:
        print(f"{outcome:<12} {what}")
    verdict(checks)


def find_version(client, model: str):
    """The registered version that `models:/name@alias` or `models:/name/number` means; UserError if there is none."""
    from mlflow.exceptions import MlflowException

    form = re.fullmatch(r"models:/([^/@]+)(?:@([^/@]+)|/(\d+))", model)
    if not form:
        raise UserError(f"{model!r} names no registered model; write models:/mnist@champion or models:/mnist/1")
    name, alias, number = form.groups()
    try:
        found = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, number)
        if "content_key" not in found.tags:
            raise UserError(f"{model} was not registered by this pipeline, which alone records what made a model")
        return found
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
    registered = {entry.name: entry.aliases for entry in client.search_registered_models()}
    have = [f"models:/{name}@{alias}" for alias in registered.get(name, {})]
    have += [f"models:/{name}/{v.version}" for v in client.search_model_versions(f"name = '{name}'")]
    have = have or [f"models:/{other}@{alias}" for other, aliases in registered.items() for alias in aliases]
    nothing = "no model at all: run `dvc repro`, which registers them"
    raise UserError(f"{tracking.uri()} has no {model}; it has {', '.join(have) or nothing}")


def logged_receipt(client, run_id: str, scratch: str) -> dict:
    """The receipt that the run keeps; UserError if it has lost it."""
    from mlflow.exceptions import MlflowException

    try:
        return json.loads(Path(client.download_artifacts(run_id, tracking.RECEIPT, scratch)).read_text())
    except (OSError, MlflowException):
        raise UserError(
            f"run {run_id} has lost its {tracking.RECEIPT}: restore the artifact store; what DVC still has, "
            "`python -m pipeline.register` registers anew in an empty store"
        ) from None


def facts(model: str, version, training, receipt: dict, dataset) -> Iterator[tuple[str, str]]:
    """What made the model, as pairs of a label and its text."""
    registered = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds")
    yield "model", f"{model}: version {version.version}, {receipt['model']}, registered {registered}"
    yield "run", f"{version.run_id}, trained {receipt['started'][:19]} to {receipt['epochs'][-1]['finished'][:19]} UTC"
    yield "content key", version.tags.get("content_key", "not recorded")
    for key, value in sorted(training.data.metrics.items()):
        if not key.startswith(("epoch/", "system/")):
            yield "metric", f"{key} {value:g}"
    for key, value in sorted(training.data.params.items()):
        yield "parameter", f"{key} {value}"
    yield "data set", f"{receipt['dataset']}, dataset.json sha256 {receipt['data_sha256']}"
    for file, digest in json.loads(dataset.source)["sha256"].items():
        yield "data file", f"{digest}  {file}"
    git, dvc = receipt["git"], receipt["dvc"]
    how = f"the run's {tracking.DIFF} says how" if git.get("diff") else "how is not recorded"
    state = {True: f"dirty: {how}", False: "clean", None: "clean or dirty is not known"}[git["dirty"]]
    yield "git commit", f"{git['commit'] or 'not recorded'}, {state}"
    for file, digest in receipt["code_sha256"].items():
        yield "code", f"{digest}  {file}{changed(Path(file), digest)}"
    lock = receipt.get("lock_sha256")
    yield "environment", f"{lock}  {LOCK}{changed(LOCK, lock)}" if lock else "lock file not recorded"
    yield "packages", ", ".join(f"{name} {number}" for name, number in receipt["packages"].items())
    yield "machine", ", ".join(f"{key} {value}" for key, value in receipt["machine"].items())
    yield "dvc", ", ".join(f"{key} {value}" for key, value in dvc.items() if value) or "not run by DVC"


def changed(path: Path, digest: str) -> str:
    """A remark where the workspace's file is not the recorded one: that work has gone on is no fault."""
    return "" if path.exists() and sha256_of(path) == digest else "  (changed since)"


def verdict(checks: list[integrity.Check]) -> None:
    """Say that all is as recorded; UserError that names each file that isn't."""
    faults = [f"  {outcome}: {what}" for outcome, what in checks if outcome in integrity.FAULTS]
    if faults:
        raise UserError(
            "not as recorded:\n"
            + "\n".join(faults)
            + "\n`dvc checkout` restores data/ and models/. A registered model "
            "is not mended in place: restore the artifact store, or move the alias to another version"
        )
    print(f"\nas recorded: {sum(outcome == integrity.SAME for outcome, _ in checks)} files")


if __name__ == "__main__":
    run(main, *(["models:/name@alias"] if len(sys.argv) > 1 else []))
