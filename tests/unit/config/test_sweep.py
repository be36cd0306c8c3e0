import pytest
from pydantic import ValidationError

from pipeline.config.sweep import Dimension, Sweep


@pytest.mark.parametrize(
    "dimension",
    [
        {"low": 1, "high": 9},
        {"low": -1.0, "high": 0.0},
        {"low": 0.1, "high": 1.0, "log": True},
        {"low": 1, "high": 9, "step": 8},
        {"low": 1, "high": 9, "step": 1},
        {"choices": ["relu", "tanh"]},
        {"choices": [1, 2.5, None, True, "x"]},
        {"choices": [1, 1.0]},
    ],
)
def test_a_range_or_a_list_is_taken(dimension):
    Dimension.model_validate(dimension)


@pytest.mark.parametrize(
    ("dimension", "message"),
    [
        ({}, "low is None; write"),
        ({"low": 1}, "high is None; write"),
        ({"low": "1", "high": 2}, "low is '1'"),
        ({"low": True, "high": 2}, "low is True"),
        ({"low": 1, "high": float("nan")}, "high is nan"),
        ({"low": 1, "high": 2, "step": "1"}, "step is '1'"),
        ({"low": 2, "high": 2}, "low should be below high, not 2 and 2"),
        ({"low": 0, "high": 2, "log": True}, "log: true needs a low above 0"),
        ({"low": 1, "high": 9, "log": True, "step": 2}, "log: true needs a low above 0, and no step"),
        ({"low": 1, "high": 9, "step": 0}, "step should be above 0"),
        ({"low": 1, "high": 9, "step": 9}, "step should be above 0 and at most high"),
        ({"choices": [1, 2], "low": 0}, "either choices, or low and high"),
        ({"choices": [1, 2], "high": 0}, "either choices, or low and high"),
        ({"choices": [1, 2], "step": 0}, "either choices, or low and high"),
        ({"choices": [1, 2], "log": True}, "either choices, or low and high"),
        ({"choices": [1, {"name": "SGD"}]}, "search a mapping key by key"),
        ({"choices": [1]}, "at least two, each named once"),
        ({"choices": [1, 2, 1]}, "at least two, each named once"),
    ],
)
def test_other_dimensions_are_refused(dimension, message):
    with pytest.raises(ValidationError) as error:
        Dimension.model_validate(dimension)
    assert message in str(error.value)


RANGE = {"low": 1, "high": 2}


@pytest.mark.parametrize("key", ["epochs", "dense.0.units", "optimizer.learning_rate"])
def test_keys_are_dotted_words(key):
    assert list(Sweep(model="m", trials=1, space={key: Dimension(**RANGE)}).space) == [key]


@pytest.mark.parametrize(
    ("section", "place"),
    [
        ({"space": {}}, "space"),
        ({"space": {"a..b": RANGE}}, "a[.][.]b"),
        ({"space": {"a-b": RANGE}}, "a-b"),
        ({"trials": 0}, "trials"),
        ({"model": 3}, "model"),
    ],
)
def test_other_sections_are_refused(section, place):
    with pytest.raises(ValidationError, match=place):
        Sweep.model_validate({"model": "m", "trials": 1, "space": {"a": RANGE}} | section)
