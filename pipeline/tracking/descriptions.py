"""Texts for people in MLflow: what a run, a version or a data set is, how good a model is, and why it was promoted.

The text of a version is its model card. MLflow shows all of them as Markdown.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.config.credits import Credit
from pipeline.tracking.model_card import make_card
from pipeline.tracking.store import Store
from pipeline.tracking.trained_model import TrainedModel

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

NOTE = "mlflow.note.content"  # MLflow's tag for the description of a run or an experiment
# The last line of each text. A text with this line is overwritten: a person who removes it keeps a text of their own.
SIGNATURE = "*Written by `register`. To keep a text of your own here, remove this line.*"


def describe(
    store: Store,
    model: TrainedModel,
    version: "ModelVersion",
    credit: Credit,
    decision: Mapping[str, Any] | None,
) -> None:
    """Write the descriptions of a version, its run, its registered model and its experiment, except a person's own."""
    client, run_id, number = store.client, str(version.run_id), str(version.version)
    about_run = describe_model(model, credit)
    if may_replace(client.get_run(run_id).data.tags.get(NOTE), about_run):
        client.set_tag(run_id, NOTE, about_run)
    card = describe_model(model, credit, decision)
    if may_replace(store.version(number).description, card):
        client.update_model_version(store.name, number, card)
    about_data = describe_data_set(model.dataset, credit)
    if may_replace(client.get_registered_model(store.name).description, about_data):
        client.update_registered_model(store.name, about_data)
    if may_replace(client.get_experiment(store.experiment_id).tags.get(NOTE), about_data):
        client.set_experiment_tag(store.experiment_id, NOTE, about_data)


def may_replace(present: str | None, text: str) -> bool:
    """Return whether `text` should take the place of what is there: nothing, or another text of ours."""
    return not present or (present.endswith(SIGNATURE) and present != text)


def describe_model(model: TrainedModel, credit: Credit, decision: Mapping[str, Any] | None = None) -> str:
    """Return a model's card in Markdown and, with a decision, why it was promoted or not."""
    card = make_card(model.receipt, model.metrics, model.dataset, credit)
    parts = [f"**{heading}**\n\n" + "\n".join(f"- {line}" for line in lines) for heading, lines in card.items()]
    if decision is not None:
        verdict = "Promoted to champion" if decision["promote"] else "Not promoted"
        parts.append("\n".join([f"**{verdict}** when it was judged:", "", *(f"- {r}" for r in decision["reasons"])]))
    return "\n\n".join([*parts, SIGNATURE])


def describe_data_set(dataset: Mapping[str, Any], credit: Credit) -> str:
    """Return what an experiment and a registered model of this data set hold."""
    images = ", ".join(f"{part['images']:,} {name}" for name, part in dataset["splits"].items())
    return "\n\n".join(
        [
            f"Models that read images of **{dataset['name']}**, {dataset['classes']} classes: {images} images.",
            f"Source of the data: {credit.source.rstrip('.')}. Its licence: {credit.licence.rstrip('.')}.",
            "A run is one training of a preset of `params.yaml`; `epoch/…` are its learning curves, `val_accuracy` and "
            "`test_accuracy` are measured on the file that is served. A version is a model that can be served; the one "
            "with the alias `champion` is. The description of a version says why it was promoted or not.",
            SIGNATURE,
        ]
    )
