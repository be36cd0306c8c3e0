"""Bring every compared model into MLflow: a run, a registered version, and the alias champion on the best.

Each is keyed by content, so it is there once, however often this stage runs. Writes registry/.
"""

import json
from hashlib import sha256
from pathlib import Path

from filelock import FileLock

from pipeline import tracking
from pipeline.params import load
from pipeline.stage import Problem, publish, read_json, run, sha256_of, write_json

MODELS, REPORTS, REGISTRY = Path("models"), Path("reports"), Path("registry")
CHAMPION = "champion"


def main() -> None:
    params = load()
    dataset = read_json(Path("data/prepared/dataset.json"))
    receipts = {name: checked_receipt(name) for name in params.compare}
    metrics = {name: read_json(REPORTS / name / "metrics.json") for name in params.compare}

    from mlflow.exceptions import MlflowException

    try:
        # One at a time: two that look for a run before either makes it would both make it.
        with FileLock(tracking.root() / "mlflow.db.lock"):
            entries, champion = register(dataset, receipts, metrics)
    except MlflowException as error:
        raise Problem(
            f"MLflow's store {tracking.uri()} refuses: {error.message}. Training has lost nothing: start the store, or "
            "unset MLFLOW_TRACKING_URI to use the file beside the project, and run `dvc repro` again"
        ) from None
    with publish(REGISTRY) as folder:
        write_json(folder / "registry.json", {"name": dataset["name"], CHAMPION: champion, "models": entries})
        comparison(params.compare, folder)
    for name, entry in entries.items():
        figures = f"val {metrics[name]['val_accuracy']:.2%}  test {metrics[name]['test_accuracy']:.2%}"
        mark = "  champion" if champion["version"] == entry["version"] else ""
        print(f"{name:<16} {figures}  models:/{dataset['name']}/{entry['version']}{mark}")


def checked_receipt(name: str) -> dict:
    """The model's receipt; Problem unless the files beside it are the ones that it was written for."""
    receipt = read_json(MODELS / name / "receipt.json")
    for file, expected in receipt["files_sha256"].items():
        path = MODELS / name / file
        if not path.exists() or sha256_of(path) != expected:
            raise Problem(f"{path} is not the file that train@{name} wrote: restore it with `dvc checkout`")
    return receipt


def register(dataset: dict, receipts: dict[str, dict], metrics: dict[str, dict]) -> tuple[dict[str, dict], dict]:
    """Upsert runs and versions, move the alias; return each model's version and run, and the champion's."""
    registered = dataset["name"]
    client, experiment_id = tracking.connect(registered)
    entries = {}
    for name, receipt in receipts.items():
        tags = content_tags(receipt, metrics[name])
        run_id = tracking.upsert_run(client, experiment_id, tags, receipt, metrics[name], dataset)
        version = upsert_version(client, experiment_id, run_id, registered, tags)
        entries[name] = {"version": int(version.version), "run_id": run_id, "content_key": tags["content_key"]}
    best = choose_champion(client, registered, dataset_sha256=next(iter(receipts.values()))["data_sha256"])
    return entries, {"version": int(best.version), "model": best.tags["model"]}


def content_tags(receipt: dict, metrics: dict) -> dict[str, str]:
    """Tags of a run and of its version; `content_key` is the sha256 of all that the model is made of and gives."""
    content = {key: receipt[key] for key in ("model", "dataset", "data_sha256", "seed", "parameters")}
    content |= {"onnx": receipt["files_sha256"]["model.onnx"], "metrics": metrics}
    content |= {"serving_code": sha256_of(tracking.SERVING_CODE)}
    code = json.dumps(receipt["code_sha256"], sort_keys=True)
    tags = {
        "content_key": sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
        "model": receipt["model"],
        "data_sha256": receipt["data_sha256"],
        "code_sha256": sha256(code.encode()).hexdigest(),
        "onnx_sha256": receipt["files_sha256"]["model.onnx"],
        "val_accuracy": str(metrics["val_accuracy"]),
        "mlflow.source.git.commit": receipt["git"]["commit"],
        "git.dirty": receipt["git"]["dirty"],
        "dvc.stage": receipt["dvc"]["stage"],
        "dvc.experiment": receipt["dvc"]["experiment"],
    }
    return {key: str(value) for key, value in tags.items() if value is not None}


def upsert_version(client, experiment_id: str, run_id: str, registered: str, tags: dict[str, str]):
    """The registered version with these tags' content key; the run's model is registered if it is missing."""
    import mlflow

    found = client.search_model_versions(f"name = '{registered}' AND tags.content_key = '{tags['content_key']}'")
    if found:
        return found[0]
    return mlflow.register_model(tracking.logged_model(client, experiment_id, run_id).model_uri, registered, tags=tags)


def choose_champion(client, registered: str, dataset_sha256: str):
    """Put the alias on the version with the best accuracy on this data's validation images; return that version.

    Of two that are equally good, the one that has the alias keeps it; else the older.
    """
    versions = client.search_model_versions(f"name = '{registered}' AND tags.data_sha256 = '{dataset_sha256}'")
    holder = client.get_registered_model(registered).aliases.get(CHAMPION)
    best = max(versions, key=lambda v: (float(v.tags["val_accuracy"]), v.version == holder, -int(v.version)))
    if best.version != holder:
        client.set_registered_model_alias(registered, CHAMPION, best.version)
    return best


def comparison(names: tuple[str, ...], folder: Path) -> None:
    """Write the tables that `dvc plots` draws: all models' histories, and their answers on the test images."""
    import pandas as pd

    from pipeline.measures import confusion

    curves = [pd.read_csv(MODELS / name / "history.csv").assign(model=name) for name in names]
    pd.concat(curves).to_csv(folder / "learning_curves.csv", index=False)
    answers = [confusion(pd.read_csv(REPORTS / name / "predictions.csv")).assign(model=name) for name in names]
    pd.concat(answers).to_csv(folder / "confusion.csv", index=False)


if __name__ == "__main__":
    run(main)
