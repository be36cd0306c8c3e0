import pytest

from pipeline.cli import UserError
from pipeline.evaluation.tables import read_table


def test_a_table_is_read(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,loss\n1,0.5\n")
    assert read_table(tmp_path / "history.csv").to_dict("list") == {"epoch": [1], "loss": [0.5]}


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2,3\n4\n5,6,7,8\n", b"\xff\xfe\x00"])
def test_a_damaged_table_is_reported(tmp_path, content):
    (tmp_path / "history.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"history.csv is damaged \(.+\): run `dvc repro`"):
        read_table(tmp_path / "history.csv")


def test_a_missing_table_is_reported(tmp_path):
    with pytest.raises(UserError, match=r"history.csv is missing: run `dvc repro`"):
        read_table(tmp_path / "history.csv")
