import json
import subprocess

import pytest

from pipeline.commands.report_summary import format_changes, format_markdown, read_changes

DIFF = {
    "reports/cnn_fast/metrics.json": {
        "val_accuracy": {"old": 0.99, "new": 0.9925, "diff": 0.0025},
        "test_loss": {"old": 0.1, "new": 0.2, "diff": 0.1},
    },
    "reports/dense_10/metrics.json": {"test_loss": {"old": 0.1, "new": 0.2, "diff": 0.1}},
    "reports/new/metrics.json": {"val_accuracy": {"new": 0.5}, "test_accuracy": {"new": 0.25}},
}


@pytest.fixture
def dvc(monkeypatch):
    """Let `dvc` return this exit code, stdout and stderr."""

    def answer(code: int, out: str = "", err: str = "") -> None:
        monkeypatch.setattr(
            subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, code, out, err)
        )

    return answer


def test_accuracies_that_changed_are_listed(dvc):
    dvc(0, json.dumps(DIFF))
    text = format_changes(read_changes("main"), "main")
    assert "| cnn_fast | 99.00% → 99.25% (+0.25) | the same |" in text
    assert "| new | new: 50.00% | new: 25.00% |" in text
    assert "dense_10" not in text


def test_a_model_that_is_gone_is_told(dvc):
    dvc(0, json.dumps(DIFF | {"reports/gone/metrics.json": {"test_accuracy": {"old": 0.75, "new": None}}}))
    assert "| gone | the same | gone: 75.00% |" in format_changes(read_changes("main"), "main")


def test_equal_results_take_a_sentence(dvc):
    dvc(0, "{}")
    assert format_changes(read_changes("main"), "main") == "The accuracies are those of main."


def test_results_that_are_not_in_the_cache_are_said_to_be_missing(dvc):
    dvc(0, json.dumps({"reports/new/metrics.json": DIFF["reports/new/metrics.json"]}))
    assert "`dvc pull`" in format_changes(read_changes("v1"), "v1")


def test_a_revision_that_is_none_is_told_in_a_sentence(dvc):
    dvc(255, err="WARNING: slow\nERROR: unknown Git revision 'mian'\n\nHaving troubles?")
    assert format_changes(read_changes("mian"), "mian") == "DVC can't compare with mian: unknown Git revision 'mian'."


def test_a_table_in_markdown():
    assert format_markdown(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"
