"""A stage depends on all code that it computes with, and not on text that only people read."""

import ast
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from pipeline import code
from pipeline.cli import UserError
from pipeline.paths import Workspace

MODULES = sorted(path for path in Path("pipeline").rglob("*.py") if path.stat().st_size)
STAGES = set(code.STAGES)


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """A copy of the code that a test may edit."""
    for package in ("pipeline", "serving"):
        shutil.copytree(package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy("requirements.lock", tmp_path)
    return Workspace(tmp_path)


@cache
def before_edits(stage: str) -> str:
    """What a stage depends on."""
    return code.format_description(stage, Path())


def changed_stages(workspace: Workspace, edit: Callable[[], object]) -> set[str]:
    """The stages that run again after an edit."""
    edit()
    return {stage for stage in STAGES if code.format_description(stage, workspace.root) != before_edits(stage)}


def replace_in(workspace: Workspace, file: str, old: str, new: str) -> None:
    path = workspace.root / file
    text = path.read_text()
    assert old in text, f"{file} has no {old!r}"
    path.write_text(text.replace(old, new, 1))


def edit_prose(path: Path) -> None:
    """Change each docstring and each text in `print` and `raise`, annotate, and add comments and blank lines."""
    source = path.read_text()
    lines = source.splitlines(keepends=True)
    marks = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            marks.add((node.lineno, node.value.value.split(".")[0].split("\n")[0]))
        printed = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        if printed or isinstance(node, ast.Raise):
            marks |= {
                (text.lineno, text.value)
                for text in ast.walk(node)
                if isinstance(text, ast.Constant) and isinstance(text.value, str) and len(text.value) > 12
            }
    for number, text in marks:
        if "\\" not in text and "{" not in text:
            lines[number - 1] = lines[number - 1].replace(text, f"{text} edited", 1)
    path.write_text("# An edited comment.\n" + "".join(lines) + "\n\n# The end.\n")


def test_comments_docstrings_and_messages_in_every_module_run_nothing_again(workspace):
    def edit() -> None:
        for module in MODULES:
            edit_prose(workspace.root / module)

    assert changed_stages(workspace, edit) == set()
    assert all("edited" in (workspace.root / module).read_text() for module in MODULES)


@pytest.mark.parametrize(
    ("file", "old", "new", "stages"),
    [
        ("pipeline/training/networks.py", "MOMENTUM = 0.9", "MOMENTUM = 0.8", {"train"}),
        ("pipeline/config/model.py", 'KerasObject(name="relu")', 'KerasObject(name="gelu")', {"train"}),
        ("pipeline/evaluation/metrics.py", "SMALLEST_PROBABILITY = 1e-7", "SMALLEST_PROBABILITY = 1e-6", {"evaluate"}),
        ("pipeline/evaluation/plots.py", "SIZE_INCHES = (6, 5)", "SIZE_INCHES = (6, 6)", {"evaluate"}),
        ("pipeline/evaluation/gate.py", "p >= policy.alpha", "p > policy.alpha", {"register"}),
        ("pipeline/config/catalogue.py", '"height": 28', '"height": 32', {"download", "preprocess"}),
        ("pipeline/config/dataset.py", '= "stretch"', '= "crop"', {"download", "preprocess"}),
        ("pipeline/config/promotion.py", "= 0.05", "= 0.01", {"register"}),
        ("pipeline/data/pixels.py", "1 / 255", "1 / 256", {"preprocess", "train", "evaluate", "register"}),
        ("pipeline/tracking/registry.py", '"champion"', '"best"', {"register"}),
        ("pipeline/commands/compare.py", "ALPHA = 0.05", "ALPHA = 0.01", set()),
        ("pipeline/tracking/follow.py", '"KILLED"', '"FAILED"', set()),
        ("serving/model.py", "float32", "float64", {"register"}),
    ],
)
def test_a_line_that_computes_runs_exactly_the_stages_that_use_it(workspace, file, old, new, stages):
    assert changed_stages(workspace, lambda: replace_in(workspace, file, old, new)) == stages


@pytest.mark.parametrize(
    ("package", "stages"),
    [
        ("keras", {"train"}),
        ("tensorflow", {"train"}),
        ("tf2onnx", {"train"}),
        ("onnx", {"train"}),
        ("ai-edge-litert", {"train", "evaluate"}),
        ("onnxruntime", {"train", "evaluate", "register"}),
        ("scikit-learn", {"download", "preprocess", "evaluate"}),
        ("mlflow", {"register"}),
        ("numpy", {"preprocess", "train", "evaluate", "register"}),
        ("pillow", {"preprocess", "evaluate"}),
        ("pytest", set()),
        ("pooch", set()),
    ],
)
def test_a_new_version_of_a_package_runs_the_stages_that_compute_with_it(workspace, package, stages):
    lock = workspace.root / "requirements.lock"

    def raise_version() -> None:
        text, count = re.subn(rf"^({package}==)[\w.]+", r"\g<1>99.1", lock.read_text(), flags=re.MULTILINE)
        assert count
        lock.write_text(text)

    assert changed_stages(workspace, raise_version) == stages


def test_an_import_that_is_not_locked_is_an_error(workspace):
    replace_in(workspace, "pipeline/data/pixels.py", "import numpy as np", "import numpy as np\nimport torch")
    with pytest.raises(UserError, match="imports torch, which"):
        code.main(workspace)


def test_code_of_a_package_itself_counts(workspace):
    def edit() -> None:
        (workspace.root / "pipeline/training/__init__.py").write_text("import os\n")

    assert changed_stages(workspace, edit) == {"train"}


def test_a_relative_import_is_an_error(workspace):
    replace_in(workspace, "pipeline/data/pixels.py", "import numpy as np", "import numpy as np\nfrom . import idx")
    with pytest.raises(UserError, match="imports relatively"):
        code.main(workspace)


def test_only_train_computes_with_tensorflow(workspace):
    code.main(workspace)
    for stage in STAGES:
        lines = (workspace.code / f"{stage}.txt").read_text()
        assert ("tensorflow==" in lines) == (stage == "train")
        assert ("pipeline/training/" in lines) == (stage == "train")


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("x = 1", "x = 2", False),
        ("x = 1", "x  =  (1)  # one", True),
        ("if x < 1: pass", "if x <= 1: pass", False),
        ('def f():\n    "Old."\n    return 1', 'def f() -> int:\n    """New."""\n    return 1', True),
        ('def f(x):\n    y = x\n    return f"{y}"', 'def f(x: int):\n    y: int = x\n    return f"{y}"', True),
        ('raise ValueError("old")', 'raise ValueError(f"new {1}") from None', True),
        ('raise ValueError("old")', 'raise TypeError("old")', False),
        ('print("old")', "pass", False),
        ('def f() -> KeyError:\n    return KeyError("old")', 'def f() -> KeyError:\n    return KeyError("new")', True),
        ("class A:\n    x: int = 1", "class A:\n    x: float = 1", False),
        ("import a", "import b", False),
        ("from t import TYPE_CHECKING", "from t import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a", True),
        ("x = 'a'", "x = 'b'", False),
        # Code that looks like a message or an annotation, but takes part in the computation.
        (
            "def f() -> MeanSquaredError:\n    return E('sum')",
            "def f() -> MeanSquaredError:\n    return E('mean')",
            False,
        ),
        (
            "def f() -> KeyError:\n    x = 1\n    return KeyError()",
            "def f() -> KeyError:\n    return KeyError()",
            False,
        ),
        ("print(x, file=out)", "print(y, file=out)", False),
        ("@check\ndef f(x: int): pass", "@check\ndef f(x: float): pass", False),
        ("def f():\n    class A:\n        x: int", "def f():\n    class A:\n        x: float", False),
        ("def f(*x, **y): pass", "def f(*x: int, **y: int): pass", True),
        ("assert x, 'old'", "assert x, 'new'", True),
        ("assert x", "assert y", False),
        ("import t\nif t.TYPE_CHECKING:\n    import a", "import t", True),
    ],
)
def test_the_digest_of_what_a_module_computes(old, new, same):
    assert (code.digest(old) == code.digest(new)) is same
