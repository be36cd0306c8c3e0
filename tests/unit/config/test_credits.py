"""What the project knows about the origin of data sets, and what params.yaml may say about it."""

import pytest

from pipeline.cli import UserError
from pipeline.config.catalogue import CATALOGUE
from pipeline.config.credits import CREDITS, NO_CREDIT, NOT_STATED, Credit, find_credit
from pipeline.config.params import load
from tests.helpers.params import PARAMS


def test_each_built_in_data_set_has_a_source_and_a_licence():
    assert CREDITS.keys() == CATALOGUE.keys()
    assert all(NOT_STATED not in (credit.source, credit.licence) for credit in CREDITS.values())


def test_what_params_yaml_says_counts_and_what_nobody_says_is_not_stated(tmp_path):
    (tmp_path / "params.yaml").write_text(f"{PARAMS}\ncredits: {{kmnist: {{licence: by agreement}}}}\n")
    credits = load(tmp_path / "params.yaml").credits
    assert find_credit("kmnist", credits) == Credit(source=NOT_STATED, licence="by agreement")
    assert find_credit("mnist", credits).licence.startswith("CC BY-SA 3.0")
    assert find_credit("leaves", credits) == NO_CREDIT == Credit(source="not stated", licence="not stated")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{mnst: {licence: MIT}}", r"credits: unknown data set 'mnst' \(did you mean 'mnist'\?\)"),
        ("{mnist: {license: MIT}}", "did you mean 'licence'"),
        ("{mnist: {licence: ''}}", "at most 500 characters"),
        (f"{{mnist: {{source: {'a' * 501}}}}}", "at most 500 characters"),
    ],
    ids=["unknown data set", "other spelling", "empty", "too long"],
)
def test_a_wrong_credit_is_an_error_that_says_what_is_allowed(tmp_path, text, message):
    (tmp_path / "params.yaml").write_text(f"{PARAMS}\ncredits: {text}\n")
    with pytest.raises(UserError, match=message):
        load(tmp_path / "params.yaml")
