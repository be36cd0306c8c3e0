"""Write what each stage runs to code/: one line per module that computes, one per locked package it computes with.

The stages depend on these files instead of on modules. Comments, docstrings, type annotations and messages are left
out, so editing them runs nothing again; a line that computes runs exactly the stages that use it.
"""

import ast
import builtins
import sys
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path

from packaging.requirements import Requirement

from pipeline.cli import UserError, run
from pipeline.files import publish, sha256_of
from pipeline.paths import LOCK, SERVING_CODE, Workspace

STAGES = ("download", "preprocess", "train", "evaluate", "register")

# Modules that only check, print or show: they compute nothing that a stage writes. DVC tracks the values of parameters;
# a wrong path leaves a stage's output missing, which DVC reports.
NOT_COMPUTING = {
    "pipeline",
    "pipeline.cli",
    "pipeline.code",
    "pipeline.guard",
    "pipeline.paths",
    "pipeline.config.errors",
    "pipeline.config.keras_names",
    "pipeline.config.params",
    "pipeline.config.section",
    "pipeline.tracking.live",
}
# Packages that are left out for the same reason: they parse, lock, measure, or transfer files whose sha256 is checked.
NOT_COMPUTING_PACKAGES = {"filelock", "pooch", "psutil", "pydantic", "requests", "ruamel", "sqlalchemy"}
# Published files are checked against pinned sha256, so it doesn't matter which packages fetch them; only the data set
# digits comes out of a package. A new version of any other package must not download again: offline that would fail.
DOWNLOADED_FROM = {"scikit-learn"}
# Packages by module, where the names differ; and packages that a module uses for export or drawing, unseen here.
PACKAGES = {"PIL": "pillow", "sklearn": "scikit-learn"}
IMPLIED = {"keras": ("tensorflow", "tf2onnx", "onnx", "h5py"), "matplotlib": ("pillow",)}


def main(workspace: Workspace = Workspace()) -> None:
    """Write code/<stage>.txt for each stage."""
    descriptions = {stage: format_description(stage, workspace.root) for stage in STAGES}

    def check() -> None:
        if any(format_description(stage, workspace.root) != text for stage, text in descriptions.items()):
            raise UserError("the code changed while it was read, so nothing was published: run `dvc repro` again")

    with publish(workspace.code, check) as folder:
        for stage, text in descriptions.items():
            (folder / f"{stage}.txt").write_text(text)


def format_description(stage: str, root: Path) -> str:
    """Return the content of code/<stage>.txt."""
    return "\n".join(describe(stage, root, locked_versions(root / LOCK))) + "\n"


def describe(stage: str, root: Path, locked: dict[str, list[str]]) -> Iterator[str]:
    """Yield the lines of one stage: its modules with the digests of what they compute, then its locked packages."""
    modules = imported_modules(f"pipeline.{stage}", root)
    packages = set().union(*(imported_packages(path) for path in modules))
    for path in modules:
        yield f"{path.relative_to(root).as_posix()} {digest(path.read_text())}"
    if stage == "register":
        # MLflow logs this file as it is, with its own requirements.
        yield f"{SERVING_CODE.as_posix()} {sha256_of(root / SERVING_CODE)}"
        packages |= imported_packages(root / SERVING_CODE)
    for package in sorted(packages):
        if package not in locked:
            raise UserError(
                f"{stage} imports {package}, which {LOCK} lacks: declare it in pyproject.toml and run `make lock`"
            )
        if stage != "download" or package in DOWNLOADED_FROM:
            yield from locked[package]


@cache
def digest(source: str) -> str:
    """Return the sha256 of the part of a module's source that computes; it is the same on each version of Python."""
    tree = _Computing().visit(ast.parse(source))
    return sha256(_dump(tree).encode()).hexdigest()


def imported_modules(name: str, root: Path) -> list[Path]:
    """Return the files of a module and of all computing modules of the project that it imports, sorted."""
    found: dict[str, Path] = {}
    waiting = [name]
    while waiting:
        module = waiting.pop()
        path = _file_of(module, root)
        if path is None or module in found or module in NOT_COMPUTING:
            continue
        found[module] = path
        # Importing a module also runs the __init__.py of the packages around it.
        waiting += [*_imports(path.read_text()), module.rpartition(".")[0]]
    return sorted(path for path in found.values() if path.stat().st_size)


def imported_packages(path: Path) -> set[str]:
    """Return the third-party packages that a module computes with, by their names in the lock file."""
    names = {name.partition(".")[0] for name in _imports(path.read_text())}
    names -= sys.stdlib_module_names | NOT_COMPUTING_PACKAGES | {"pipeline", "serving"}
    packages = {PACKAGES.get(name, name.replace("_", "-")) for name in names}
    return packages.union(*(IMPLIED.get(name, ()) for name in names))


def locked_versions(lock: Path) -> dict[str, list[str]]:
    """Return each package's lines of the lock file, without hashes; several if its version depends on Python's."""
    return _parse_lock(lock.read_text())


@cache
def _parse_lock(text: str) -> dict[str, list[str]]:
    versions: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line[:1].isalnum():
            requirement = Requirement(line.removesuffix("\\").strip())
            versions.setdefault(requirement.name, []).append(str(requirement))
    return versions


def _file_of(module: str, root: Path) -> Path | None:
    if not module:
        return None
    place = root.joinpath(*module.split("."))
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists()), None)


@cache
def _imports(source: str) -> list[str]:
    """Return all names that a module imports, except for type checkers; `from a import b` gives a and a.b."""
    names = []
    for node in ast.walk(_WithoutTypes().visit(ast.parse(source))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level or not node.module:
                raise UserError(f"line {node.lineno} of a module imports relatively: write the module's whole name")
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


class _WithoutTypes(ast.NodeTransformer):
    """Remove what only a type checker reads: `if TYPE_CHECKING:`, annotations of functions and of their variables."""

    def __init__(self) -> None:
        self._in_function = False

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        name = node.test.attr if isinstance(node.test, ast.Attribute) else getattr(node.test, "id", None)
        return node.orelse if name == "TYPE_CHECKING" else node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if not node.decorator_list:  # a decorator may read annotations
            arguments = node.args
            for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
                argument.annotation = None
            for rest in (arguments.vararg, arguments.kwarg):
                if rest:
                    rest.annotation = None
            node.returns = None
        return self._visit_inside(node, in_function=True)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._visit_inside(node, in_function=False)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if not self._in_function:  # in a dataclass or a section, annotations are fields
            return self.generic_visit(node)
        return self.generic_visit(ast.Assign([node.target], node.value)) if node.value else None

    def _visit_inside(self, node: ast.AST, in_function: bool) -> ast.AST:
        outside, self._in_function = self._in_function, in_function
        self.generic_visit(node)
        self._in_function = outside
        return node


class _Computing(_WithoutTypes):
    """Remove what only people read, too: docstrings, what is printed, and the messages of errors and assertions."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        value = node.value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return None
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "print":
            to_a_file = any(keyword.arg == "file" for keyword in value.keywords)
            return self.generic_visit(node) if to_a_file else None
        return self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        node.msg = None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return ast.Raise(error, None)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if _makes_an_error(node.returns):
            for statement in node.body:
                if isinstance(statement, ast.Return) and isinstance(statement.value, ast.Call):
                    statement.value.args = []
        return super().visit_FunctionDef(node)


def _makes_an_error(returned: ast.expr | None) -> bool:
    """Return whether a function is annotated to return UserError or one of Python's own exceptions."""
    name = returned.id if isinstance(returned, ast.Name) else ""
    own = getattr(builtins, name, None)
    return name == "UserError" or (isinstance(own, type) and issubclass(own, BaseException))


def _dump(node: object) -> str:
    """Return a syntax tree as text. Unlike ast.dump's, it doesn't depend on the version of Python."""
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if value is not None and value != [])
        return f"{type(node).__name__}({','.join(f'{name}={_dump(value)}' for name, value in fields)})"
    if isinstance(node, list):
        return f"[{','.join(map(_dump, node))}]"
    return ascii(node)


if __name__ == "__main__":
    run(main)
