from typing import Annotated

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from pipeline.config.errors import explain
from pipeline.config.model import Model
from pipeline.config.promotion import Promotion

DENSE = {"family": "dense", "optimizer": "SGD", "batch_size": 1, "epochs": 1}


class Models(BaseModel):
    models: dict[str, Model]


def explain_model(section: object) -> list[str]:
    with pytest.raises(ValidationError) as error:
        Models.model_validate({"models": {"some": section}})
    return explain(error.value)


@pytest.mark.parametrize(
    ("section", "line"),
    [
        (DENSE | {"epochs": 0}, "models.some.epochs: Input should be greater than 0, not 0"),
        (DENSE | {"epochs": "5"}, "models.some.epochs: Input should be a valid integer, not '5'"),
        ({"family": "dense"}, "models.some.batch_size: this key is missing"),
        ({"epochs": 1}, "models.some: the key family is missing; allowed: perceptron, dense, cnn"),
        ({"family": "cnnn"}, "models.some: unknown family 'cnnn'; allowed: perceptron, dense, cnn"),
        (
            DENSE | {"schedule": {"name": "cosine"}},
            "models.some.schedule: unknown name 'cosine'; allowed: cosine_decay, exponential_decay",
        ),
        (
            DENSE | {"schedule": {"name": "cosine_decay", "warmup": 2.0}},
            "models.some.schedule.warmup: Input should be less than 1, not 2.0",
        ),
        (DENSE | {"dense": 3}, "models.some.dense: Input should be a list, not 3"),
        (DENSE | {"dense": {"units": 3}}, "models.some.dense: Input should be a list"),
        (DENSE | {"dense": [3]}, "models.some.dense.0: Input should be a mapping, such as {key: value}, not 3"),
        (
            DENSE | {"schedule": "cosine_decay"},
            "models.some.schedule: write {name: …, key: value}, not 'cosine_decay'; allowed: "
            "cosine_decay, exponential_decay",
        ),
        ("dense", "models.some: write {family: …, key: value}, not 'dense'; allowed: perceptron, dense, cnn"),
        (["dense"], "models.some: write {family: …, key: value}; allowed: perceptron, dense, cnn"),
    ],
)
def test_a_fault_is_named_as_it_is_written(section, line):
    assert line in [found.replace("valid list", "list") for found in explain_model(section)]


def test_a_message_of_our_own_has_no_prefix():
    (line,) = explain_model(DENSE | {"optimizer": 3})
    assert line.startswith("models.some.optimizer: write a name or {name: …, argument: value}; names: Adadelta")


def test_a_key_that_breaks_a_pattern_is_shown_without_pydantics_mark():
    adapter = TypeAdapter(dict[int, int])
    with pytest.raises(ValidationError) as error:
        adapter.validate_python({"x": 1})
    (line,) = explain(error.value)
    assert line.startswith("x: ")


def test_a_fault_of_the_whole_has_no_place():
    with pytest.raises(ValidationError) as error:
        Promotion.model_validate(3)
    (line,) = explain(error.value)
    assert line == "Input should be a mapping, such as {key: value}, not 3"


def test_a_mapping_of_names_is_called_so():
    with pytest.raises(ValidationError) as error:
        Models.model_validate({"models": None})
    assert explain(error.value) == ["models: Input should be a mapping, such as {key: value}, not None"]


@pytest.mark.parametrize("given", [[], {}])
def test_an_empty_list_or_mapping_is_named_in_the_words_of_the_file(given):
    with pytest.raises(ValidationError) as error:
        TypeAdapter(Annotated[type(given), Field(min_length=1)]).validate_python(given)
    assert explain(error.value) == ["Input should have at least 1 entry, not 0"]


def test_a_list_whose_only_entry_is_faulty_is_not_called_empty():
    section = DENSE | {"family": "cnn", "convolutions": [{"filters": 0}]}
    assert explain_model(section) == ["models.some.convolutions.0.filters: Input should be greater than 0, not 0"]
