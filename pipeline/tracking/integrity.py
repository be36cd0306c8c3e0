"""Compare files with the hashes recorded when a model was made: the registered copy, the data, the workspace."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.files import sha256_of
from pipeline.paths import Workspace
from pipeline.tracking.runs import RECEIPT
from serving import verification

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Dataset
    from mlflow.entities.model_registry import ModelVersion

SAME, DIFFERS, MISSING, ADDED = "same", "DIFFERS", "MISSING", "ADDED"
UNKNOWN, ELSEWHERE = "unknown", "elsewhere"  # no hash to check against; the workspace holds something else
FAULTS = (DIFFERS, MISSING, ADDED)


class Check(NamedTuple):
    """One of the outcomes above, and the file or the sentence that it is about."""

    outcome: str
    subject: str


def check_registered(
    client: "MlflowClient", version: "ModelVersion", receipt: Mapping[str, Any], scratch: Path
) -> Iterator[Check]:
    """Compare the registered copy, its files and its serving code, and the run's receipt with the version's tags."""
    from mlflow.artifacts import download_artifacts

    source = client.get_model_version_download_uri(version.name, str(version.version))
    folder = verification.local_folder(source)
    if folder is None:
        folder = Path(download_artifacts(f"models:/{version.name}/{version.version}", dst_path=str(scratch / "model")))
    yield from check_model_folder(folder, version.tags, source)
    expected = {"onnx_sha256": receipt["files_sha256"]["model.onnx"], "data_sha256": receipt["data_sha256"]}
    is_same = all(version.tags.get(key) == digest for key, digest in expected.items())
    yield Check(SAME if is_same else DIFFERS, f"{RECEIPT} of run {version.run_id}")


def check_model_folder(folder: Path, tags: Mapping[str, str], source: str) -> Iterator[Check]:
    """Compare each file of a registered model with the version's tags, as the app does; `source` names its place.

    If the tags lack the hash of MLmodel, as those of older versions do, check the keys in that file instead.
    """
    expected = verification.expected_hashes(tags)
    found = list(verification.list_files(folder))
    for name, digest in expected.items():
        if (folder / name).is_symlink():
            yield Check(DIFFERS, f"{source}/{name}: it is a link")
        elif name in found or digest is not None or name in verification.REQUIRED:
            yield check_file(folder / name, digest, f"{source}/{name}")
    yield from (Check(ADDED, f"{source}/{name}") for name in found if name not in expected)
    if expected.get(verification.DESCRIPTION) is None and verification.DESCRIPTION in found:
        for fault in explain_description(folder / verification.DESCRIPTION):
            yield Check(DIFFERS, f"{source}/{verification.DESCRIPTION}: {fault}")


def explain_description(path: Path) -> list[str]:
    """Return a phrase on each entry of an MLmodel that `register` doesn't write."""
    try:
        return list(verification.find_foreign_keys(YAML(typ="safe").load(path)))
    except (YAMLError, KeyError, TypeError, AttributeError):
        return ["it describes no model of this pipeline"]


def check_data(receipt: Mapping[str, Any], dataset: "Dataset", workspace: Workspace = Workspace()) -> Iterator[Check]:
    """Compare data/raw with the sources that the run recorded; data/prepared, by its dataset.json, with the receipt."""
    raw, prepared = workspace.raw, workspace.prepared
    sources, present = json.loads(dataset.source)["sha256"], read_description(workspace.dataset)
    if present.get("sources_sha256", sources) != sources and is_whole(raw, present["sources_sha256"]):
        yield Check(ELSEWHERE, f"{raw} holds other data, {present['name']}; {explain_restore(receipt)}")
        return
    yield from check_folder(raw, sources)
    description = check_file(workspace.dataset, receipt["data_sha256"])
    if description.outcome == SAME and "files_sha256" in present:
        yield from check_folder(prepared, {workspace.dataset.name: receipt["data_sha256"], **present["files_sha256"]})
    elif description.outcome == SAME:
        yield from (description, Check(UNKNOWN, f"{prepared}/*/*.npy: their sha256 was not recorded"))
    elif present and split_rule(present["seed"], present["splits"]) != split_rule(
        receipt["seed"], json.loads(dataset.profile or "{}")
    ):
        yield Check(
            ELSEWHERE, f"{prepared} is split differently, with seed {present['seed']}; {explain_restore(receipt)}"
        )
    else:
        yield description


def read_description(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file; {} if it is missing or damaged."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        return content
    except (FileNotFoundError, ValueError):
        return {}


def split_rule(seed: int, splits: Mapping[str, Any]) -> tuple[int, dict[str, int]]:
    """Return what decides which image goes into which split: the seed, and the size of each split."""
    return seed, {name: summary["images"] for name, summary in splits.items()}


def check_workspace(receipt: Mapping[str, Any], workspace: Workspace = Workspace()) -> Iterator[Check]:
    """Compare models/<model> with the receipt, if it holds this model and not another experiment's."""
    folder, recorded = workspace.model(receipt["model"]), receipt["files_sha256"]
    network, own_receipt = folder / "model.onnx", folder / "receipt.json"
    if not network.exists() and not own_receipt.exists():
        yield Check(ELSEWHERE, f"{folder} holds no model; {explain_restore(receipt)}")
        return
    digest = sha256_of(network) if network.exists() else None
    # Its own receipt distinguishes another experiment's model from a damaged one.
    own_digest = read_description(own_receipt).get("files_sha256", {}).get("model.onnx")
    if digest and digest == own_digest != recorded["model.onnx"]:
        yield Check(
            ELSEWHERE,
            f"{folder} holds another experiment's model, onnx sha256 {digest}; {explain_restore(receipt)}",
        )
        return
    for file, expected in recorded.items():
        yield check_file(folder / file, expected)


def explain_restore(receipt: Mapping[str, Any]) -> str:
    """Return where the recorded files come from, and the page that says how to restore them: it takes several commands.

    `dvc checkout` isn't enough: the commit's dvc.lock may be of the run before. The commit isn't enough: `dvc exp run
    -S` trains with parameters that are not committed.
    """
    commit = f"commit {receipt['git']['commit'][:12]}" if receipt["git"]["commit"] else "a commit that is not known"
    changes = " and the run's training/uncommitted.diff" if receipt["git"]["dirty"] else ""
    return f"the recorded files are of {commit}{changes}; docs/champions.md says how to restore them"


def check_folder(folder: Path, recorded: Mapping[str, str]) -> Iterator[Check]:
    """Check each recorded file of a folder, and report the files there that aren't recorded."""
    for file, expected in recorded.items():
        yield check_file(folder / file, expected)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder).as_posix() not in recorded:
            yield Check(ADDED, str(path))


def is_whole(folder: Path, recorded: Mapping[str, str]) -> bool:
    """Return whether a folder holds the recorded files, unchanged, and no other."""
    return all(check.outcome == SAME for check in check_folder(folder, recorded))


def check_file(path: Path, expected: str | None, name: str = "") -> Check:
    """Compare a file with the sha256 that was recorded; `name` is shown instead of its path."""
    if not path.exists():
        return Check(MISSING, name or str(path))
    if expected is None:
        return Check(UNKNOWN, f"{name or path}: its sha256 was not recorded")
    return Check(SAME if sha256_of(path) == expected else DIFFERS, name or str(path))
