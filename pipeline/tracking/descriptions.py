"""What a person reads in MLflow: what a run, a version, a data set is, how good a model is, and why it was promoted.

The text of a version is its model card. MLflow shows all of them as Markdown.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.tracking.store import Store
from pipeline.tracking.trained_model import TrainedModel

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

NOTE = "mlflow.note.content"  # MLflow's tag for the description of a run or an experiment
# Ends each text, which is written again as long as it does: a person who removes this line keeps a text of their own.
SIGNATURE = "*Written by `register`. To keep a text of your own here, remove this line.*"
SPLITS = (("validation", "val"), ("test", "test"))
FILES = (("model.onnx, which is served", ""), ("model_int8.tflite", "int8_"))


def describe(store: Store, model: TrainedModel, version: "ModelVersion", decision: Mapping[str, Any] | None) -> None:
    """Write the descriptions of a version, its run, its registered model and its experiment, except a person's own."""
    client, run_id, number = store.client, str(version.run_id), str(version.version)
    about_run = describe_model(model)
    if may_replace(client.get_run(run_id).data.tags.get(NOTE), about_run):
        client.set_tag(run_id, NOTE, about_run)
    card = describe_model(model, decision)
    if may_replace(store.version(number).description, card):
        client.update_model_version(store.name, number, card)
    about_data = describe_data_set(model.dataset)
    if may_replace(client.get_registered_model(store.name).description, about_data):
        client.update_registered_model(store.name, about_data)
    if may_replace(client.get_experiment(store.experiment_id).tags.get(NOTE), about_data):
        client.set_experiment_tag(store.experiment_id, NOTE, about_data)


def may_replace(present: str | None, text: str) -> bool:
    """Return whether `text` should take the place of what is there: nothing, or another text of ours."""
    return not present or (present.endswith(SIGNATURE) and present != text)


def describe_model(model: TrainedModel, decision: Mapping[str, Any] | None = None) -> str:
    """Return what a model is, how it was trained, how good it is and, with a decision, why it was promoted or not."""
    receipt, metrics, splits = model.receipt, model.metrics, model.dataset["splits"]
    height, width, channels = model.dataset["image_shape"]
    seconds = sum(epoch["seconds"] for epoch in receipt["epochs"])
    rows = [
        f"| {title} | {file} | {splits[split]['images']:,} | {metrics[f'{prefix}{split}_accuracy']:.2%} |"
        for title, split in SPLITS
        for file, prefix in FILES
        if f"{prefix}{split}_accuracy" in metrics
    ]
    parts = [
        f"{model.name}: {describe_network(receipt['parameters'])}; {metrics['parameters']:,.0f} parameters. It tells "
        f"which of the {model.dataset['classes']} classes of {model.dataset['name']} an image shows; it takes "
        f"{height}×{width} pixels, {'from 0 to 255' if channels == 1 else 'red, green and blue from 0 to 255'}.",
        f"Trained {count(len(receipt['epochs']), 'epoch')} on {splits['train']['images']:,} images, with seed "
        f"{receipt['seed']}, in {seconds:,.0f} s; {describe_commit(receipt['git'])}.",
        "\n".join(["| images | file | number | right |", "|---|---|---:|---:|", *rows]),
        "It gives each image one of its classes, also one that shows none of them. The figures hold for images like "
        "those of the data set.",
    ]
    if decision is not None:
        verdict = "Promoted to champion" if decision["promote"] else "Not promoted"
        parts.append("\n".join([f"**{verdict}** when it was judged:", "", *(f"- {r}" for r in decision["reasons"])]))
    return "\n\n".join([*parts, SIGNATURE])


def describe_network(parameters: Mapping[str, Any]) -> str:
    """Return a model's section of params.yaml in a few words: its kind, its layers, its optimizer."""
    layers = [
        count(len(parameters[key]), word)
        for key, word in (("convolutions", "convolution"), ("dense", "dense layer"))
        if parameters.get(key)
    ]
    optimizer = parameters.get("optimizer", {}).get("name")
    kind = f"a network of the family {parameters['family']}"
    kind += f" with {' and '.join(layers)}" if layers else ""
    return f"{kind}, trained by {optimizer}" if optimizer else kind


def count(number: int, word: str) -> str:
    """Return a number with its noun, in the plural if it takes one."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def describe_commit(git: Mapping[str, Any]) -> str:
    """Return from which commit a model was trained."""
    if not git["commit"]:
        return "the commit is not known"
    changes = " with uncommitted changes, which the run's training/uncommitted.diff has" if git["dirty"] else ""
    return f"from commit `{git['commit'][:12]}`{changes}"


def describe_data_set(dataset: Mapping[str, Any]) -> str:
    """Return what an experiment and a registered model of this data set hold."""
    images = ", ".join(f"{part['images']:,} {name}" for name, part in dataset["splits"].items())
    return "\n\n".join(
        [
            f"Models that read images of **{dataset['name']}**, {dataset['classes']} classes: {images} images.",
            "A run is one training of a preset of `params.yaml`; `epoch/…` are its learning curves, `val_accuracy` and "
            "`test_accuracy` are measured on the file that is served. A version is a model that can be served; the one "
            "with the alias `champion` is. The description of a version says why it was promoted or not.",
            SIGNATURE,
        ]
    )
