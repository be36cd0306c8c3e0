"""docs/parameters.md says what the schema says."""

from pathlib import Path

import pytest

from pipeline.commands.document_params import PAGE, find_sections, render_page
from pipeline.config import keras_names
from pipeline.config.params import Params

ROOT = Path(__file__).parents[3]
SECTIONS = list(dict.fromkeys(section for _, section in find_sections(Params, "")))


def test_the_committed_page_is_what_the_schema_gives():
    assert (ROOT / PAGE).read_text() == render_page(), "the page is out of date: run `make docs`"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_key_of_every_section_is_in_a_table(section):
    page = render_page()
    for key in section.model_fields:
        assert f"\n| `{key}` | " in page


@pytest.mark.parametrize(
    "row",
    [
        "| `seed` | whole number ≥ 0, < 4294967296 | – |",
        "| `max_latency_ms` | number > 0 or `null` | `null` |",
        "| `padding` | `valid` or `same` | `valid` |",
        "| `presets` | list of text (at least 1) | – |",
        "| `kernel_initializer` | an [initializer](#initializers) | `glorot_uniform` |",
        "| `rotation` | number ≥ 0, ≤ 180 | `0.0` |",
        "| `batch_normalization` | `true` or `false` | `false` |",
        "| `dense` | list of [Dense](#modelsnamedensenumber) | `[]` |",
        "| `relu` | `negative_slope`, `max_value`, `threshold` |",
    ],
)
def test_a_row_says_type_limits_and_default(row):
    assert f"\n{row}" in render_page()


@pytest.mark.parametrize("kind", ["OPTIMIZERS", "LOSSES", "ACTIVATIONS", "INITIALIZERS"])
def test_every_keras_name_is_listed(kind):
    page = render_page()
    assert [name for name in getattr(keras_names, kind) if f"`{name}`" not in page] == []


def test_a_new_key_changes_the_page(monkeypatch):
    """A key that the page doesn't have yet is found by the first test."""
    before = render_page()
    monkeypatch.setitem(Params.model_fields, "new_key", Params.model_fields["seed"])
    assert "| `new_key` |" in render_page()
    assert "| `new_key` |" not in before
