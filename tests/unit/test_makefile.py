"""The Makefile, in folders with any name, with programs that only print how they were called."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"
PROGRAM = '#!/bin/sh\necho "{name} of $(dirname "$0"):" "$@"\n'
OTHER_PYTHON = "#!/bin/sh\nexit 1\n"
RELOCATABLE = "home = /usr/bin\nrelocatable = true\n"


@pytest.fixture(params=["project", "my project", 'it\'s $HOME, (ä) "q"'])
def folder(request, tmp_path) -> Path:
    """A project's folder with this name, with the Makefile and a lock file."""
    return make_project(tmp_path / request.param)


@pytest.fixture
def project(tmp_path) -> Path:
    """A project's folder, with the Makefile and a lock file."""
    return make_project(tmp_path / "project")


def make_project(folder: Path) -> Path:
    folder.mkdir()
    shutil.copy(MAKEFILE, folder)
    (folder / "requirements.lock").touch()
    return folder


def make_environment(folder: Path, *names: str, settings: str = RELOCATABLE, made_for: Path | None = None) -> None:
    """Write a complete .venv whose programs print their name and arguments."""
    binaries = folder / ".venv/bin"
    binaries.mkdir(parents=True)
    for name in ("python", *names):
        write_program(binaries / name, PROGRAM.format(name=name))
    (binaries / "activate").write_text(f'VIRTUAL_ENV="{made_for or folder}/.venv"\n')
    (folder / ".venv/pyvenv.cfg").write_text(settings)
    (folder / ".venv/ready").touch()


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def make(folder: Path, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    """Run make in the folder; programs in `path` are found before all others."""
    environment = os.environ | {"PATH": f"{path}:/usr/bin:/bin" if path else os.environ["PATH"], "MAKEFLAGS": ""}
    environment |= {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
    environment.pop("MAKELEVEL", None)  # of the make that runs the tests, below which it would report its folder
    return subprocess.run(("make", *arguments), cwd=folder, env=environment, capture_output=True, text=True)


def test_make_runs_the_programs_of_its_own_environment_in_a_folder_of_any_name(folder):
    subprocess.run(("git", "init", "--quiet"), cwd=folder, check=True)
    make_environment(folder, "dvc", "ruff", "mypy")
    binaries = folder / ".venv/bin"
    done = make(folder, "run", "lint")
    assert done.returncode == 0, done.stderr
    calls = [line for line in done.stdout.splitlines() if " of " in line]
    assert f"dvc of {binaries}: repro" in calls
    assert f"ruff of {binaries}: check ." in calls
    assert all(call.split(" of ")[1].startswith((f"{binaries}:", ".venv/bin:")) for call in calls)


@pytest.mark.parametrize(("target", "port"), [("app", "8000"), ("serve", "5001")])
def test_a_server_has_its_port_checked_first(project, target, port):
    make_environment(project, "mlflow")
    for arguments, checked in (((target,), port), ((target, "PORT=7000"), "7000")):
        calls = [line for line in make(project, *arguments).stdout.splitlines() if " -m pipeline." in line]
        assert calls[0].endswith(f"pipeline.commands.port {checked}")


@pytest.mark.parametrize("reason", ["", 'reads "a 7" as 1', "it's `echo 1` for $5 and $HOME", "two\nlines"])
@pytest.mark.parametrize(("target", "before"), [("rollback", ""), ("promote", " 3")])
def test_a_reason_is_recorded_as_it_was_typed(project, target, before, reason):
    make_environment(project)
    done = make(project, target, "VERSION=3", f"REASON={reason}")
    assert done.stdout.endswith(f" -m pipeline.commands.{target}{before} {reason}\n")


def test_an_environment_is_set_up_in_a_folder_of_any_name_so_that_it_can_be_moved(folder, tmp_path):
    tools = tmp_path / "tools"
    write_program(tools / "uv", PROGRAM.format(name="uv"))
    venv = (
        f'[ "$1" != -m ] || {{ mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; echo "{RELOCATABLE}" > "$3/pyvenv.cfg"; }}'
    )
    write_program(tools / "python3", f"#!/bin/sh\n{venv}\n")
    done = make(folder, ".venv/ready", path=str(tools))
    assert done.returncode == 0, done.stderr
    calls = [line.partition(": ")[2] for line in done.stdout.splitlines() if line.startswith("uv of")]
    assert [call.split()[0] for call in calls] == ["venv", "pip"]
    assert "--relocatable" in calls[0]
    assert (folder / ".venv/ready").exists()
    assert sorted(path.name for path in folder.parent.iterdir()) == sorted([folder.name, "tools"])


def test_a_project_without_a_repository_is_told_so_before_anything_is_set_up(project):
    done = make(project, "run")
    assert done.returncode != 0
    assert "git init && git add . && git commit" in done.stderr
    assert not (project / ".venv").exists()


@pytest.mark.parametrize("python", ["another", "missing"])
def test_a_python_that_will_not_do_is_refused_before_anything_is_set_up(project, tmp_path, python):
    write_program(tmp_path / "another", OTHER_PYTHON)
    done = make(project, ".venv/ready", f"PYTHON={tmp_path / python}")
    assert done.returncode != 0
    assert f"PYTHON={tmp_path / python} is not Python 3.11.4 or later, 3.12 or 3.13" in done.stderr
    assert not (project / ".venv").exists()


@pytest.mark.parametrize("fault", ["another Python", "no Python"])
def test_an_environment_whose_python_will_not_do_is_named_with_the_command_that_removes_it(project, fault):
    make_environment(project)
    python = project / ".venv/bin/python"
    python.unlink()
    if fault == "another Python":
        write_program(python, OTHER_PYTHON)
    done = make(project, "compare")
    assert done.returncode != 0
    assert ".venv has no Python 3.11.4 or later, 3.12 or 3.13 that runs: remove it with rm -rf .venv" in done.stderr


@pytest.mark.parametrize(("settings", "made_for", "runs"), [
    ("home = /usr/bin\n", "elsewhere", False),
    ("home = /usr/bin\n", "project", True),
    (RELOCATABLE, "elsewhere", True),
])  # fmt: skip
def test_programs_of_another_folder_are_not_run(project, settings, made_for, runs):
    make_environment(project, settings=settings, made_for=project.parent / made_for)
    done = make(project, "compare")
    assert (done.returncode == 0) is runs
    assert ("remove it with rm -rf .venv" in done.stderr) is not runs


@pytest.mark.parametrize("name", ["100% mine", "a:b", "#1", "why?"])
def test_a_folder_name_that_the_tools_cannot_take_is_refused(tmp_path, name):
    folder = make_project(tmp_path / name)
    done = make(folder, ".venv/ready")
    assert done.returncode != 0
    assert f"rename {folder}" in done.stderr
    assert not (folder / ".venv").exists()
