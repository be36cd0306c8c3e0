from typing import ClassVar

import pytest
from pydantic import ValidationError

from pipeline.config.params import Params
from pipeline.config.promotion import Promotion
from pipeline.config.section import Section, require_known


class Example(Section):
    renamed_keys: ClassVar[dict[str, str]] = {"size": "max_size_bytes"}

    max_size_bytes: int = 1
    rate: float = 0.5


def test_a_known_name_passes():
    require_known("mnist", ["digits", "mnist"], "dataset")


@pytest.mark.parametrize(
    ("name", "allowed", "message"),
    [
        ("mnits", ["mnist", "digits"], "unknown dataset 'mnits' (did you mean 'mnist'?); allowed: digits, mnist"),
        ("x", ["b", "A", "c"], "unknown dataset 'x'; allowed: A, b, c"),
        ("x", [], "unknown dataset 'x'; allowed: none"),
        (3, ["mnist"], "unknown dataset 3; allowed: mnist"),
    ],
)
def test_an_unknown_name_is_refused_with_the_known_ones(name, allowed, message):
    with pytest.raises(ValueError, match="unknown") as error:
        require_known(name, allowed, "dataset")
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"max_size": 3}, "unknown key 'max_size' (did you mean 'max_size_bytes'?); allowed: max_size_bytes, rate"),
        ({"size": 3}, "keys have new names: size is called max_size_bytes now"),
        ({"max_size_bytes": "3"}, "valid integer"),
        ({"max_size_bytes": True}, "valid integer"),
        ({"rate": float("nan")}, "finite number"),
        ([1], "valid dictionary"),
    ],
)
def test_keys_and_types_are_strict(section, message):
    with pytest.raises(ValidationError) as error:
        Example.model_validate(section)
    assert message in str(error.value)


def test_a_section_cannot_be_changed():
    with pytest.raises(ValidationError):
        Example().rate = 0.1


def test_attributes_are_described_by_their_docstrings():
    """docs/parameters.md is generated from these descriptions."""
    assert (
        Promotion.model_fields["max_size_bytes"].description == "Largest size of model.onnx in bytes; null is no limit."
    )


@pytest.mark.parametrize(
    ("section", "old", "new"),
    [
        (Params, "compare", "presets"),
        (Params, "repeats", "seeds_per_model"),
        (Params, "validation", "validation_images"),
        (Promotion, "margin", "min_accuracy_gain"),
        (Promotion, "max_size", "max_size_bytes"),
        (Promotion, "max_latency", "max_latency_ms"),
    ],
)
def test_a_key_of_an_older_version_is_refused_with_its_new_name(section, old, new):
    assert new in section.model_fields
    with pytest.raises(ValidationError, match=f"{old} is called {new} now"):
        section.model_validate({old: 1})


@pytest.mark.parametrize(
    "limits",
    [
        {"alpha": 0.0}, {"alpha": 0.5}, {"min_accuracy_gain": 1.0}, {"min_accuracy_gain": -0.1},
        {"max_class_loss": 1.0}, {"max_class_loss": -0.1}, {"max_size_bytes": 0}, {"max_latency_ms": 0.0},
    ],
)  # fmt: skip
def test_a_limit_that_nothing_can_keep_is_refused(limits):
    with pytest.raises(ValidationError):
        Promotion.model_validate(limits)


def test_by_default_there_are_no_limits_but_those_of_accuracy():
    assert Promotion().model_dump() == {
        "min_accuracy_gain": 0.0, "alpha": 0.01, "max_class_loss": 0.05, "max_size_bytes": None, "max_latency_ms": None,
        "in_experiments": False,
    }  # fmt: skip
