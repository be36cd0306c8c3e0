"""dvc.yaml as DVC runs it: what makes a stage run again, and what doesn't."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

STAGES = YAML(typ="safe").load(Path("dvc.yaml"))["stages"]


def test_an_edited_comment_runs_no_stage_but_the_one_that_looks_at_the_code(project):
    for path in (project.folder / "pipeline").rglob("*.py"):
        if text := path.read_text():
            path.write_text(f"# An edited comment.\n{text}")
    assert project.repro() == ["code"]
    assert project.repro() == []


@pytest.mark.parametrize(
    ("file", "old", "new", "stages"),
    [
        ("pipeline/evaluation/metrics.py", "SMALLEST_PROBABILITY = 1e-7", "SMALLEST_PROBABILITY = 1e-6", ["evaluate"]),
        ("pipeline/commands/compare.py", "ALPHA = 0.05", "ALPHA = 0.01", []),
    ],
)
def test_a_line_that_computes_runs_the_stages_that_use_it(project, file, old, new, stages):
    project.repro()
    path = project.folder / file
    path.write_text(path.read_text().replace(old, new))
    ran = project.repro()
    models = project.parameters()["presets"]
    assert ran == ["code", *(f"{stage}@{model}" for stage in stages for model in models)]


def test_another_keras_trains_each_model_again(project):
    project.repro()
    lock = project.folder / "requirements.lock"
    lock.write_text(lock.read_text().replace("keras==3.", "keras==4.", 1))
    status = project.run("dvc", "status").stdout  # the stage that looks at the code comes first
    assert "requirements.lock" in status
    assert project.repro("code") == ["code"]
    stale = project.run("dvc", "status").stdout
    assert [f"train@{model}" in stale for model in project.parameters()["presets"]] == [True, True]
    assert "evaluate@" not in stale


def test_a_model_depends_on_its_own_parameters_and_never_on_the_test_split():
    train = STAGES["train"]
    assert train["params"] == ["seed", "seeds_per_model", "models.${item.model}"]
    assert not {"data/prepared", "data/prepared/test"} & set(train["deps"])


def test_nothing_depends_on_a_receipt():
    deps = [dep for stage in STAGES.values() for dep in stage["deps"]]
    assert not [dep for dep in deps if dep == "models" or dep.endswith(("receipt.json", "${item.model}"))]


def test_the_diagram_names_no_modules():
    deps = [dep for stage in STAGES.values() for dep in stage["deps"]]
    assert [dep for dep in deps if dep.endswith(".py")] == ["serving/model.py"]
    assert len(Path("dvc.yaml").read_text().splitlines()) <= 60
