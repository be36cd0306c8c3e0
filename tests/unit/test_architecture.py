"""How packages may import each other: only in one direction, and `serving` imports nothing from `pipeline`."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

# A package may import only packages that stand above it in this list.
LAYERS = (
    ("cli",),
    ("files", "paths"),
    ("code",),
    ("config",),
    ("guard",),
    ("data", "inference"),
    ("training", "evaluation"),
    ("tracking",),
    ("sweep",),
    ("download", "preprocess", "train", "evaluate", "register"),
    ("commands",),
)
LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names}


def modules(folder: str) -> dict[str, Path]:
    """All modules of a package, by their dotted names."""
    paths = Path(folder).rglob("*.py")
    return {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def imports(path: Path) -> set[str]:
    """All imports of a module, also those inside functions and for type checkers."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_no_module_imports_itself_in_a_circle():
    for folder in ("pipeline", "serving"):
        known = modules(folder)
        graph = {name: imports(path) & known.keys() - {name} for name, path in known.items()}
        tuple(TopologicalSorter(graph).static_order())  # raises CycleError, which names the cycle


def test_packages_import_what_lies_below_them():
    for name, path in modules("pipeline").items():
        if name == "pipeline":
            continue
        own = name.split(".")[1]
        for other in imports(path):
            if other.startswith("pipeline.") and (target := other.split(".")[1]) != own:
                assert LEVELS[target] < LEVELS[own], f"{name} imports {other}"


def test_serving_imports_nothing_of_the_pipeline_and_no_tensorflow():
    for path in modules("serving").values():
        assert not {name.split(".")[0] for name in imports(path)} & {"pipeline", "tensorflow", "keras"}, path


def test_the_served_model_imports_nothing_of_the_project():
    assert not {name.split(".")[0] for name in imports(Path("serving/model.py"))} & {"pipeline", "serving"}


def test_no_stage_imports_a_heavy_package_before_it_is_used():
    heavy = {"tensorflow", "keras", "mlflow", "pandas", "sklearn", "scipy", "matplotlib"}
    for stage in ("code", "download", "preprocess", "train", "evaluate", "register"):
        tree = ast.parse(Path(f"pipeline/{stage}.py").read_text())
        top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in top if isinstance(node, ast.ImportFrom)}
        assert not {name.split(".")[0] for name in names} & heavy, stage
