"""dvc.yaml against the code: what a stage imports is what it depends on."""

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

STAGES = YAML(typ="safe").load(Path("dvc.yaml"))["stages"]


def first_party_imports(path: Path, seen: set[Path] | None = None) -> set[Path]:
    """The project's files that `path` imports, anywhere in it, and those that they import in turn."""
    seen = set() if seen is None else seen
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            file = Path(f"{name.replace('.', '/')}.py")
            if file.exists() and file not in seen:
                seen.add(file)
                first_party_imports(file, seen)
    return seen


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_exactly_the_code_that_it_imports(stage):
    module = STAGES[stage]["cmd"].split()[2]
    assert module == f"pipeline.{stage}"
    file = Path(f"pipeline/{stage}.py")
    imported = {str(path) for path in first_party_imports(file)} | {str(file)}
    declared = {dep for dep in STAGES[stage]["deps"] if dep.endswith(".py")}
    # register also logs the served model's code, which it doesn't import.
    assert declared - {"serving/model.py"} == imported


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "train"])
def test_only_train_imports_tensorflow(stage):
    """Not even inside a function, and not by Keras or its converter either."""
    for path in {Path(f"pipeline/{stage}.py"), *first_party_imports(Path(f"pipeline/{stage}.py"))}:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {"tensorflow", "keras", "tf2onnx"}, path


@pytest.mark.parametrize(
    "path", [*Path("serving").glob("*.py"), Path("pipeline/evaluate.py"), Path("pipeline/register.py")]
)
def test_tensorflow_is_not_even_named_where_models_are_served(path):
    assert "tensorflow" not in path.read_text()


def test_a_model_depends_on_its_own_parameters_and_never_on_the_test_split():
    train = STAGES["train"]
    assert train["params"] == ["seed", "seeds_per_model", "models.${item.model}"]
    assert not {"data/prepared", "data/prepared/test"} & set(train["deps"])


def test_nothing_depends_on_a_receipt():
    deps = [dep for stage in STAGES.values() for dep in stage["deps"]]
    assert not [dep for dep in deps if dep == "models" or dep.endswith(("receipt.json", "${item.model}"))]
