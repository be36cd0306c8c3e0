"""Bring every compared model into MLflow: a run, a registered version, and the champion's alias if it earns it.

Each is keyed by content, so it is there once, however often this stage runs. Writes registry/.
"""

from pathlib import Path

from pipeline.cli import UserError, run
from pipeline.config.params import load
from pipeline.config.promotion import Promotion
from pipeline.files import publish, write_json
from pipeline.tracking import promotion
from pipeline.tracking import store as tracking
from pipeline.tracking import trained_model as content
from pipeline.tracking.runs import upsert
from pipeline.tracking.trained_model import Content

REGISTRY = Path("registry")


def main() -> None:
    params = load()
    contents = [content.read(name) for name in params.presets]

    from mlflow.exceptions import MlflowException

    try:
        # One at a time: two that look for a run before either makes it would both make it.
        with promotion.lock():
            registry = register(contents, params.promotion)
    except MlflowException as error:
        raise UserError(
            f"MLflow's store {tracking.uri()} refuses: {error.message}. Training has lost nothing: start the store, or "
            "unset MLFLOW_TRACKING_URI to use the file beside the project, and run `dvc repro` again"
        ) from None
    with publish(REGISTRY) as folder:
        write_json(folder / "registry.json", registry)
        comparison(contents, folder)
    for item in contents:
        entry, metrics = registry["models"][item.name], item.metrics
        figures = f"val {metrics['val_accuracy']:.2%}  test {metrics['test_accuracy']:.2%}"
        mark = "  champion" if entry["version"] == registry["champion"]["version"] else ""
        print(f"{item.name:<16} {figures}  models:/{registry['name']}/{entry['version']}{mark}")


def register(contents: list[Content], policy: Promotion) -> dict:
    """Upsert runs and versions, and decide on each; return what registry.json says."""
    registered = contents[0].dataset["name"]
    client, experiment_id = tracking.connect(registered)
    tracking.close_dead_runs(client, experiment_id)
    versions = {item.name: upsert(client, experiment_id, registered, item) for item in contents}
    records = promotion.promote(client, registered, list(versions.values()), policy)
    models = {
        name: {
            "version": int(version.version),
            "run_id": version.run_id,
            "content_key": version.tags["content_key"],
            "promoted": records[str(version.version)]["promote"],
            "reasons": records[str(version.version)]["reasons"],
        }
        for name, version in versions.items()
    }
    champion = None
    if holder := promotion.current_aliases(client, registered).get(promotion.CHAMPION):
        model = client.get_model_version(registered, holder).tags["model"]
        champion = {"version": int(holder), "model": model}
    return {"name": registered, "champion": champion, "models": models}


def comparison(contents: list[Content], folder: Path) -> None:
    """Write the tables that `dvc plots` draws: all models' histories, and their answers on the test images."""
    import pandas as pd

    from pipeline.evaluation.metrics import confusion

    curves = [pd.read_csv(item.model / "history.csv").assign(model=item.name) for item in contents]
    pd.concat(curves).to_csv(folder / "learning_curves.csv", index=False)
    answers = [confusion(pd.read_csv(item.report / "predictions.csv")).assign(model=item.name) for item in contents]
    pd.concat(answers).to_csv(folder / "confusion.csv", index=False)


if __name__ == "__main__":
    run(main)
