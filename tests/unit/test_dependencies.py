"""pyproject.toml and the code agree: every imported package is declared, and every declared package is needed."""

import ast
import sys
import tomllib
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement

# Packages by the names of their modules, if the names differ.
PACKAGES = {"PIL": "pillow", "ai_edge_litert": "ai-edge-litert", "prometheus_client": "prometheus-client",
            "python_multipart": "python-multipart", "ruamel": "ruamel-yaml", "sklearn": "scikit-learn",
            "axe_playwright_python": "axe-playwright-python",
            "h11": "uvicorn",  # uvicorn's protocol is made with h11, and brings it
            "IPython": "ipykernel"}  # fmt: skip  # a kernel is made with IPython, and brings it
# Declared, but only imported by other packages or run as a program.
NEEDED_UNSEEN = {
    "backports-strenum": "pip refuses the version that uv would choose",
    "dvc": "runs the pipeline",
    "fastapi": "MLflow's scoring routes are made with it",
    "tf2onnx": "Keras exports ONNX with it",
    "coverage": "make coverage",
    "mypy": "make check",
    "pandas-stubs": "mypy",
    "pytest-xdist": "make check",
    "ruff": "make check",
    "types-psutil": "mypy",
    "types-requests": "mypy",
    "types-tqdm": "mypy",
}


@cache
def imported(folders: tuple[str, ...]) -> frozenset[str]:
    """The third-party packages that the code of these folders imports."""
    names = set()
    for path in (path for folder in folders for path in Path(folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    names -= sys.stdlib_module_names | {"pipeline", "serving", "benchmarks", "notebooks", "tests"}
    return frozenset(PACKAGES.get(name, name) for name in names)


def declared(*groups: str) -> set[str]:
    """The packages that pyproject.toml declares: those of the project, or those of dependency groups."""
    content = tomllib.loads(Path("pyproject.toml").read_text())
    lists = [content["dependency-groups"][group] for group in groups] or [content["project"]["dependencies"]]
    return {Requirement(line).name for lines in lists for line in lines}


def test_what_is_imported_is_declared():
    assert imported(("pipeline", "serving", "benchmarks")) - declared() - declared("rivals", "ray", "spark") == set()
    assert imported(("tests", "notebooks")) - declared() - declared("dev", "team", "engines") == set()


def test_what_is_declared_is_needed():
    assert declared() - imported(("pipeline", "serving", "benchmarks")) - NEEDED_UNSEEN.keys() == set()
    assert declared("dev") - imported(("tests", "notebooks")) - NEEDED_UNSEEN.keys() == set()
