"""What a user reads in MLflow about a model, about the reasons for its promotion, and about the data set."""

import pytest

from pipeline.config.credits import Credit
from pipeline.paths import Workspace
from pipeline.tracking import runs, trained_model
from pipeline.tracking.descriptions import (
    NOTE,
    SIGNATURE,
    describe,
    describe_data_set,
    describe_model,
)
from pipeline.tracking.trained_model import TrainedModel
from tests.helpers.trained import DATASET, write_trained_model

CREDIT = Credit(source="A. Botanist", licence="CC BY 4.0")
PROMOTED = {"promote": True, "reasons": ["validation accuracy 0.9958 against 0.9874"]}
REFUSED = {"promote": False, "reasons": ["worse at digit 1", "too large"]}


@pytest.fixture
def model(tmp_path) -> TrainedModel:
    """A model whose data set has 3, 2 and 1 images in its splits."""
    workspace = Workspace(tmp_path / "workspace")
    write_trained_model(workspace)
    return trained_model.read("tiny", workspace)


def test_a_model_is_described_by_its_card(model):
    text = describe_model(model, CREDIT)
    headings = ("Intended use", "Data", "Training", "Figures", "Limits", "Licence")
    places = [text.index(f"**{heading}**\n\n- ") for heading in headings]
    assert places == sorted(places)
    for part in ("- tiny: a network of the family dense", "- Source: A. Botanist.", "- Of the data: CC BY 4.0."):
        assert part in text
    assert "romoted" not in text


@pytest.mark.parametrize(
    ("decision", "verdict"), [(PROMOTED, "**Promoted to champion**"), (REFUSED, "**Not promoted**")]
)
def test_a_model_card_says_why_it_was_promoted_or_not(model, decision, verdict):
    text = describe_model(model, CREDIT, decision).partition(verdict)[2]
    assert [line[2:] for line in text.splitlines() if line.startswith("- ")] == decision["reasons"]


def test_a_data_set_is_described_by_its_classes_and_images():
    text = describe_data_set(DATASET, CREDIT)
    assert "**digits**, 10 classes: 3 train, 2 val, 1 test images" in text
    assert "Source of the data: A. Botanist. Its licence: CC BY 4.0." in text


def test_all_that_a_store_has_of_a_model_is_described_once_and_a_text_of_a_person_is_kept(
    model, store, root, monkeypatch
):
    monkeypatch.setattr(runs, "log_model", fake_log_model(store))
    version = runs.register_version(store, model)
    client, number = store.client, str(version.version)

    def read() -> list[str]:
        texts = [client.get_run(version.run_id).data.tags.get(NOTE), store.version(number).description]
        texts.append(client.get_registered_model(store.name).description)
        return [*texts, client.get_experiment(store.experiment_id).tags.get(NOTE)]

    describe(store, model, version, CREDIT, REFUSED)
    assert all(text.endswith(SIGNATURE) for text in read())
    assert read()[:3] == [
        describe_model(model, CREDIT),
        describe_model(model, CREDIT, REFUSED),
        describe_data_set(model.dataset, CREDIT),
    ]
    describe(store, model, version, CREDIT, PROMOTED)
    assert "**Promoted to champion**" in read()[1]

    client.set_tag(version.run_id, NOTE, "My notes")
    client.update_model_version(store.name, number, "My card")
    client.update_registered_model(store.name, "My model")
    client.set_experiment_tag(store.experiment_id, NOTE, "My experiment")
    describe(store, model, version, CREDIT, REFUSED)
    assert read() == ["My notes", "My card", "My model", "My experiment"]


def fake_log_model(store):
    """A model that is logged without its files, because logging them takes seconds."""

    def log_model(run_id: str, model: TrainedModel) -> None:
        made = store.client.create_logged_model(store.experiment_id, name="model", source_run_id=run_id)
        store.client.finalize_logged_model(made.model_id, "READY")

    return log_model
