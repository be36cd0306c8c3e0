"""A copy of the project in a git and DVC repository of its own, small enough to run in seconds."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock
from ruamel.yaml import YAML

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

SOURCE = Path(__file__).parent.parent.parent
QUICK_PRESETS = ("dense_512", "cnn_fast")
"""Presets that train on MNIST in seconds, the better one last."""


class Project:
    """A working copy of this repository that a test may run, change and break."""

    def __init__(self, folder: Path, environment: dict[str, str]):
        self.folder, self.environment = folder, environment

    def run(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the copy; if it fails and `check` is set, fail the test with the command's output."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment | environment, capture_output=True, text=True, timeout=1800
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def repro(self, *arguments: str) -> list[str]:
        """Run `dvc repro`; return the names of the stages that it ran, without those that DVC's cache restored."""
        lines = self.run("dvc", "repro", *arguments).stdout.splitlines()
        return [line.split("'")[1] for line in lines if line.startswith("Running stage")]

    def parameters(self) -> dict[str, Any]:
        """Return the content of params.yaml."""
        content: dict[str, Any] = YAML(typ="safe").load(self.folder / "params.yaml")
        return content

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change params.yaml by `change`, which gets its content and alters it in place."""
        yaml = YAML()
        content = yaml.load(self.folder / "params.yaml")
        change(content)
        yaml.dump(content, self.folder / "params.yaml")

    def registered(self) -> "dict[str, ModelVersion]":
        """Return the versions that the last `register` registered, by model."""
        from mlflow.tracking import MlflowClient

        client = MlflowClient(f"sqlite:///{self.folder}/mlflow.db")
        content = json.loads((self.folder / "registry/registry.json").read_text())
        ours = f"name = '{content['name']}'"
        keys = {name: entry["content_key"] for name, entry in content["models"].items()}
        found = {
            name: client.search_model_versions(f"{ours} AND tags.content_key = '{key}'") for name, key in keys.items()
        }
        return {name: version for name, (version,) in found.items()}


def copy_project(folder: Path, change: Callable[[dict[str, Any]], None]) -> Project:
    """Copy the files that git tracks or would track, change params.yaml, and commit the copy."""
    listed = subprocess.run(
        ("git", "ls-files", "--cached", "--others", "--exclude-standard"), cwd=SOURCE, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        if (SOURCE / name).exists() and name not in ("dvc.lock", "promotions.jsonl"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCE / name, folder / name)
    project = Project(folder, environment())
    project.edit(change)
    project.run("git", "init", "--quiet", "--initial-branch=main")
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "Copy the project")
    return project


def train_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, change: Callable[[dict[str, Any]], None]
) -> Project:
    """Return a trained project that all test processes share, so they must not change it; the first one trains it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    with FileLock(shared / f"{name}.lock"):
        folder, finished = shared / name, shared / f"{name}.trained"
        if finished.exists():
            return Project(folder, environment())
        assert not folder.exists(), f"training {name} has failed before"
        folder.mkdir()
        project = copy_project(folder, change)
        ran = project.repro()
        presets = project.parameters()["presets"]
        per_model = [f"{stage}@{preset}" for stage in ("train", "evaluate") for preset in presets]
        assert ran == ["code", "download", "preprocess", *per_model, "register"], ran
        finished.touch()
        return project


def fork(trained: Project, folder: Path) -> Project:
    """Copy a trained project with its DVC cache, and register its models in a store of the copy's own."""
    of_the_store = shutil.ignore_patterns("mlflow.db*", "mlruns", "registry", "promotions.jsonl", "*.log")
    shutil.copytree(trained.folder, folder, ignore=of_the_store, symlinks=True, dirs_exist_ok=True)
    project = Project(folder, environment())
    assert project.repro() == ["register"]
    return project


def environment() -> dict[str, str]:
    """Return the variables of a shell with the project's virtual environment, and no others of MLflow, DVC or TF."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "DVC_", "TF_"))}
    binaries = Path(sys.executable).parent
    identity = {f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return kept | identity | {"PATH": f"{binaries}:{kept['PATH']}", "DVC_NO_ANALYTICS": "1"}


def shrink(content: dict[str, Any]) -> None:
    """Change params.yaml's content to two small models on `digits`, which needs no download."""
    content["dataset"] = "digits"
    content["presets"] = ["dense_10", "tiny_cnn"]
    content["models"]["dense_10"]["epochs"] = 2
    content["models"]["tiny_cnn"] = {
        "family": "cnn",
        "convolutions": [{"filters": 8, "kernel_size": 5, "strides": 2, "batch_normalization": True}],
        "optimizer": {"name": "Adam", "learning_rate": 0.01},
        "batch_size": 32,
        "epochs": 3,
        "augmentation": {"translation": 1},
    }
