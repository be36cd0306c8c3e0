"""Draw faults at random, put each into a copy of the project, and check whether the tests of its module catch it.

`python -m benchmarks.faults [number] [seed]`: a fault is a changed comparison, a changed number or a removed statement
in `pipeline/` or `serving/`. The unit tests of its module run first; if they pass, the slower tests that use the module
run, those of PostgreSQL only under the PYTHONPATH of `make test-engines`. Prints a line per fault, and the share of
faults that was caught.
"""

import ast
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SWAPPED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
# The slower tests that run a part of the code, by the beginning of its path; the first match counts.
SLOW_TESTS = {
    "serving/batch": ["tests/serving/test_batch.py"],
    "serving": ["tests/serving"],
    "pipeline/config": ["tests/pipeline/test_train.py"],
    "pipeline/data/dvc_cache": ["tests/unit/test_download.py", "tests/unit/commands/test_rebuild.py"],
    "pipeline/data": ["tests/pipeline/test_preprocess.py"],
    "pipeline/training": ["tests/pipeline/test_train.py", "tests/pipeline/test_export.py"],
    "pipeline/evaluation": ["tests/pipeline/test_evaluate.py", "tests/pipeline/test_promotion.py"],
    "pipeline/inference": ["tests/pipeline/test_evaluate.py"],
    "pipeline/sweep/postgresql": ["tests/engines/test_sweep.py"],
    "pipeline/sweep": ["tests/pipeline/test_sweep.py"],
    "pipeline/commands/ensure_registered": ["tests/unit/test_register.py"],
    "pipeline/commands/lineage": ["tests/pipeline/test_lineage.py"],
    "pipeline/commands/rebuild": ["tests/pipeline/test_rebuild.py"],
    "pipeline/tracking/integrity": ["tests/pipeline/test_lineage.py"],
    "pipeline/tracking/lock": ["tests/engines/test_lock.py"],
    "pipeline/tracking/postgresql": ["tests/engines/test_lock.py"],
    "pipeline/tracking": [f"tests/pipeline/test_{name}.py" for name in ("live", "promotion", "end_to_end")],
    "pipeline": ["tests/pipeline/test_end_to_end.py"],
}
TIMEOUT_S = 900


@dataclass(frozen=True)
class Fault:
    """One change of one module."""

    path: Path
    line: int
    text: str
    source: str  # of the changed module


def main() -> None:
    """Draw the faults, run the tests on each, and print which were caught or missed."""
    number, seed = (int(argument) for argument in [*sys.argv[1:], *("40", "0")[len(sys.argv) - 1 :]])
    drawn = draw(number, seed)
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        copy_project(Path(folder))
        for place, fault in enumerate(drawn, start=1):
            judge = catching_tests(fault, Path(folder))
            print(f"{place:>3}  {judge or 'MISSED':<24} {fault.path}:{fault.line}  {fault.text}", flush=True)
            missed += [] if judge else [fault]
    print(f"{len(drawn) - len(missed)} of {len(drawn)} faults caught ({1 - len(missed) / len(drawn):.0%}), seed {seed}")


def draw(number: int, seed: int) -> list[Fault]:
    """Draw faults at random; all possible faults are equally likely."""
    paths = sorted(path for folder in ("pipeline", "serving") for path in Path(folder).rglob("*.py"))
    faults = [fault for path in paths for fault in possible_faults(path)]
    return random.Random(seed).sample(faults, number)


def possible_faults(path: Path) -> Iterator[Fault]:
    """Yield each fault that a module can have."""
    source = path.read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            swapped = ast.Compare(node.left, [SWAPPED[type(node.ops[0])](), *node.ops[1:]], node.comparators)
            yield replaced(path, source, node, ast.unparse(swapped))
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool)
        ):
            yield replaced(path, source, node, repr(node.value + 1))
        elif isinstance(node, ast.stmt) and is_removable(node):
            yield replaced(path, source, node, "pass")


def is_removable(node: ast.stmt) -> bool:
    """Return whether a statement can be removed: a call, or an assignment to an attribute or item, or one like +=."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call | ast.Await)
    partly = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute | ast.Subscript)
    return partly or isinstance(node, ast.AugAssign)


def replaced(path: Path, source: str, node: ast.expr | ast.stmt, text: str) -> Fault:
    """Return the module with `text` in the place of a node."""
    lines = source.encode().splitlines(keepends=True)
    start = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
    end = sum(map(len, lines[: (node.end_lineno or node.lineno) - 1])) + (node.end_col_offset or 0)
    whole = source.encode()
    old = whole[start:end].decode()
    shown = f"{' '.join(old.split())[:60]}  ->  {text[:60]}"
    return Fault(path, node.lineno, shown, (whole[:start] + text.encode() + whole[end:]).decode())


def copy_project(folder: Path) -> None:
    """Copy the files that git tracks, or would track."""
    listed = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
    for name in subprocess.run(listed, capture_output=True, check=True, text=True).stdout.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, folder / name)
    subprocess.run(("git", "init", "--quiet"), cwd=folder, check=True)


def catching_tests(fault: Fault, folder: Path) -> str | None:
    """Return the kind of tests that fail on the fault: unit tests or slower tests; None if all pass."""
    path = folder / fault.path
    whole = path.read_text()
    path.write_text(fault.source)
    try:
        for kind, tests in (("unit tests", unit_tests(fault.path)), ("slower tests", slow_tests(fault.path))):
            if tests and not passes(tests, folder):
                return kind
        return None
    finally:
        path.write_text(whole)


def passes(tests: list[str], folder: Path) -> bool:
    """Return whether the tests pass within TIMEOUT_S."""
    command = (sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests)
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, timeout=TIMEOUT_S).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def unit_tests(path: Path) -> list[str]:
    """Return the unit tests of a module: those with its name, or else all of its package."""
    package = Path("tests/unit", *(path.parent.parts[1:] if path.parts[0] == "pipeline" else path.parent.parts))
    own = sorted(Path("tests/unit").rglob(f"test_{path.stem}.py")) if path.stem != "__main__" else []
    mirrored = [test for test in own if test.parent == package]
    found = mirrored or own or ([package] if package.is_dir() and package != Path("tests/unit") else [])
    return [str(test) for test in found]


def slow_tests(path: Path) -> list[str]:
    """Return the slower tests that run a module."""
    return next(tests for beginning, tests in SLOW_TESTS.items() if str(path).startswith(beginning))


if __name__ == "__main__":
    main()
