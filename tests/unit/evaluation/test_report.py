"""The metrics of given answers; tests/unit/test_evaluate.py tests the stage and the files of its report."""

import json

import pytest

from pipeline.cli import UserError
from pipeline.evaluation.report import compute_metrics, exported_paths
from tests.helpers.answers import METRICS, make_answers

DESCRIBED = {"model": "tiny", "parameters": "7", "temperature": "0.8"}  # as train writes it into model.onnx


def test_one_seed_gives_the_metrics_of_the_published_model():
    given = {
        "val": make_answers([[0, 1, 2, 1]], litert=[0, 1, 2, 0], int8=[0, 0, 0, 0]),
        "test": make_answers([[0, 1, 2, 0]], litert=[2, 2, 2, 0], int8=[0, 1, 0, 0]),
    }
    found = compute_metrics(DESCRIBED, given)
    assert [key for key in found if key in METRICS] == list(METRICS)
    assert "seeds_per_model" not in found
    assert not [key for key in found if key.endswith(("_mean", "_deviation"))]
    assert (found["parameters"], found["temperature"]) == (7, 0.8)
    assert (found["val_accuracy"], found["test_accuracy"]) == (1, 0.75)
    assert (found["int8_val_accuracy"], found["int8_test_accuracy"]) == (0.25, 0.5)
    assert found["litert_differing_labels"] == 1 + 2  # from the published model's answers, not from the labels


def test_a_network_of_an_older_version_is_refused():
    with pytest.raises(UserError, match="older version: run `dvc repro`"):
        compute_metrics({"parameters": "7"}, {})


def test_further_seeds_add_mean_and_deviation_alone():
    seeds = [[0, 1, 2, 1], [0, 1, 2, 0], [0, 1, 0, 0]]
    given = make_answers(seeds, litert=[0, 1, 2, 1], int8=[0, 1, 2, 1])
    once = make_answers(seeds[:1], litert=[0, 1, 2, 1], int8=[0, 1, 2, 1])
    found = compute_metrics(DESCRIBED, {"val": given})
    spread = {"val_accuracy_mean": 0.75, "val_accuracy_deviation": 0.25, "seeds_per_model": 3}
    assert found == compute_metrics(DESCRIBED, {"val": once}) | spread


def test_the_published_file_comes_first_and_then_those_of_the_seeds(tmp_path):
    (tmp_path / "further_seeds").mkdir()
    (tmp_path / "further_seeds" / "seeds.json").write_text(json.dumps({"further_seeds": [8, 9]}))
    paths = [str(path.relative_to(tmp_path)) for path in exported_paths(tmp_path)]
    assert paths == ["model.onnx", "further_seeds/8.onnx", "further_seeds/9.onnx"]


def test_a_missing_list_of_seeds_is_reported(tmp_path):
    with pytest.raises(UserError, match=r"seeds.json is missing: run `dvc repro`"):
        exported_paths(tmp_path)
