"""Files against the hashes that were recorded when a model was made: the registered copy, the data, the workspace."""

import json
from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.files import sha256_of
from pipeline.tracking import store as tracking
from pipeline.tracking.trained_model import MODEL_FILES, REPORT_FILES

RAW, PREPARED, MODELS = Path("data/raw"), Path("data/prepared"), Path("models")
SAME, DIFFERS, MISSING, ADDED = "same", "DIFFERS", "MISSING", "ADDED"
UNKNOWN, ELSEWHERE = "unknown", "elsewhere"  # no hash to check against; the workspace holds something else
FAULTS = (DIFFERS, MISSING, ADDED)
Check = tuple[str, str]  # an outcome, and the file or the sentence that it is about


def check_registered(client, version, receipt: dict, scratch: Path) -> Iterator[Check]:
    """The registered copy, its files and the code that serves it, and the run's receipt: against the version's tags."""
    from mlflow.artifacts import download_artifacts

    place = client.get_model_version_download_uri(version.name, version.version)
    folder = Path(download_artifacts(f"models:/{version.name}/{version.version}", dst_path=str(scratch / "model")))
    try:
        flavor = YAML(typ="safe").load(folder / "MLmodel")["flavors"]["python_function"]
        # MLflow notes where the code came from, and keeps it under its last name.
        files = {"serving_code": Path(flavor["model_code_path"]).name}
        recorded = [name for name in MODEL_FILES | REPORT_FILES if f"{name}_sha256" in version.tags]
        files |= {name: flavor["artifacts"][name]["path"] for name in recorded}
    except FileNotFoundError:
        files = {}
        yield MISSING, f"{place}/MLmodel"
    except (YAMLError, KeyError, TypeError):
        files = {}
        yield DIFFERS, f"{place}/MLmodel"
    for what, file in files.items():
        yield compare(folder / file, version.tags.get(f"{what}_sha256"), f"{place}/{file}")
    recorded = {"onnx_sha256": receipt["files_sha256"]["model.onnx"], "data_sha256": receipt["data_sha256"]}
    same = all(version.tags.get(key) == digest for key, digest in recorded.items())
    yield SAME if same else DIFFERS, f"{tracking.RECEIPT} of run {version.run_id}"


def check_data(receipt: dict, dataset) -> Iterator[Check]:
    """data/raw against the sources that the run recorded; data/prepared, by its dataset.json, against the receipt."""
    sources, description = json.loads(dataset.source)["sha256"], PREPARED / "dataset.json"
    here = described(description)
    if here.get("sources_sha256", sources) != sources and whole(RAW, here["sources_sha256"]):
        yield ELSEWHERE, f"{RAW} holds other data, {here['name']}; {way_back(receipt)}"
        return
    yield from compare_all(RAW, sources)
    outcome = compare(description, receipt["data_sha256"])
    if outcome[0] == SAME and "files_sha256" in here:
        yield from compare_all(PREPARED, {description.name: receipt["data_sha256"], **here["files_sha256"]})
    elif outcome[0] == SAME:
        yield from (outcome, (UNKNOWN, f"{PREPARED}/*/*.npy: their sha256 was not recorded"))
    elif here and split(here["seed"], here["splits"]) != split(receipt["seed"], json.loads(dataset.profile)):
        yield ELSEWHERE, f"{PREPARED} is split otherwise, by seed {here['seed']}; {way_back(receipt)}"
    else:
        yield outcome


def described(path: Path) -> dict:
    """The content of dataset.json; nothing if it is missing or damaged."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}


def split(seed: int, splits: dict) -> tuple:
    """What decides which image goes where: the seed, and the size of each split."""
    return seed, {name: summary["images"] for name, summary in splits.items()}


def check_workspace(receipt: dict) -> Iterator[Check]:
    """models/<model> against the receipt, if it holds this very model and not another experiment's."""
    folder, recorded = MODELS / receipt["model"], receipt["files_sha256"]
    network, own = folder / "model.onnx", folder / "receipt.json"
    if not network.exists() and not own.exists():
        yield ELSEWHERE, f"{folder} holds no model; {way_back(receipt)}"
        return
    digest = sha256_of(network) if network.exists() else None
    # Its own receipt tells another experiment's model from a damaged one.
    if digest != recorded["model.onnx"] and digest == described(own).get("files_sha256", {}).get("model.onnx"):
        yield ELSEWHERE, f"{folder} holds another experiment's model, onnx sha256 {digest}; {way_back(receipt)}"
        return
    for file, expected in recorded.items():
        yield compare(folder / file, expected)


def way_back(receipt: dict) -> str:
    """How to bring the recorded files back. Not `dvc checkout`: the commit's dvc.lock may be the run before's."""
    commit = receipt["git"]["commit"] or "<its commit>"
    return f"`git checkout {commit[:12]}`, then `dvc repro`, brings back the recorded files"


def compare_all(folder: Path, recorded: dict[str, str]) -> Iterator[Check]:
    """Each recorded file of `folder`, and the files there that nothing records."""
    for file, expected in recorded.items():
        yield compare(folder / file, expected)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder).as_posix() not in recorded:
            yield ADDED, str(path)


def whole(folder: Path, recorded: dict[str, str]) -> bool:
    """Whether `folder` holds the recorded files and no other."""
    return all(outcome == SAME for outcome, _ in compare_all(folder, recorded))


def compare(path: Path, expected: str | None, name: str = "") -> Check:
    """What became of the file whose sha256 was `expected`; `name` is how to call it, if not by its path."""
    if not path.exists():
        return MISSING, name or str(path)
    if expected is None:
        return UNKNOWN, f"{name or path}: its sha256 was not recorded"
    return SAME if sha256_of(path) == expected else DIFFERS, name or str(path)
