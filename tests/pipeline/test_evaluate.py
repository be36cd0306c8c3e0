"""The stage `evaluate` with real model files for phones."""

import json
from pathlib import Path

import pytest

from pipeline import evaluate
from pipeline.paths import Workspace
from tests.helpers.networks import write_bright_pixels, write_litert

VAL, TEST = 20, 40


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("model.tflite", {"litert_differing_labels": 0.3 * (VAL + TEST)}),
        ("model_int8.tflite", {"int8_val_accuracy": 0.7, "int8_test_accuracy": 0.7}),
    ],
)
def test_the_files_for_phones_are_measured_by_themselves(tmp_path: Path, file: str, changed: dict[str, float]):
    workspace = Workspace(tmp_path)
    write_bright_pixels(workspace, VAL, TEST)
    model = workspace.model("dense_10")
    write_litert(model, wrong=0)
    once = measure(workspace)
    lite = {"int8_val_accuracy": 1, "int8_test_accuracy": 1, "litert_differing_labels": 0}
    assert {key: once[key] for key in lite} == lite
    (tmp_path / "other").mkdir()
    write_litert(tmp_path / "other", wrong=3)
    (tmp_path / "other" / file).replace(model / file)
    assert measure(workspace) == once | changed


def measure(workspace: Workspace) -> dict[str, float]:
    evaluate.main("dense_10", workspace)
    return json.loads((workspace.report("dense_10") / "metrics.json").read_text())
