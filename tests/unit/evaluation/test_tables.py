import numpy as np
import pytest

from pipeline.cli import UserError
from pipeline.evaluation.metrics import tabulate_predictions
from pipeline.evaluation.tables import read_predictions, read_table


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


def test_the_answers_of_older_versions_are_read_too(tmp_path):
    (tmp_path / "predictions.csv").write_text("split,image,label,digit,p0\nval,7,1,3,0.5\n")
    table = read_predictions(tmp_path / "predictions.csv")
    assert table.to_dict("records") == [{"split": "val", "image": 7, "label": "1", "answer": "3"}]


def test_a_class_may_have_any_name(tmp_path):
    names = ["NA", "", "null", 'a "b", c', "007"]
    table = tabulate_predictions("val", np.arange(5), np.arange(5), np.eye(5, dtype=np.float32), names)
    table.to_csv(tmp_path / "predictions.csv", index=False)
    assert read_predictions(tmp_path / "predictions.csv")["label"].tolist() == names
