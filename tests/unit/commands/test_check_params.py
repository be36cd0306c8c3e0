"""Errors in params.yaml are found before anything runs."""

import pytest

from pipeline.cli import UserError
from pipeline.commands.check_params import main
from tests.helpers.params import PARAMS


def test_parameters_that_will_do_are_no_news(tmp_path, capsys):
    (tmp_path / "params.yaml").write_text(PARAMS)
    main(tmp_path / "params.yaml")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("old", "new"), [("dataset: mnist", "dataset: mnits"), ("dataset: mnist", "dataset: mnist\nmnits: 1")]
)
def test_an_unknown_data_set_or_key_is_an_error(tmp_path, old, new):
    (tmp_path / "params.yaml").write_text(PARAMS.replace(old, new))
    with pytest.raises(UserError, match="mnits"):
        main(tmp_path / "params.yaml")
