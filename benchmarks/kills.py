"""Kill stages at random moments, run `dvc repro` again, and compare the outputs with those of an undisturbed run.

`python -m benchmarks.kills [moments] [seed]`: each stage of two small presets on digits is killed in turn by SIGKILL,
either its whole process group, or DVC alone, after which the orphaned stage must end. Prints a line per moment, and the
share that ended with the bytes of the undisturbed run and no leftovers. 60 moments take 18 minutes on two idle cores.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML

from tests.helpers.project import Project, copy_project, shrink

OUTPUTS = ("code", "data", "models", "reports", "registry")
STORE = ("mlflow.db*", "mlruns", "registry", "promotions.jsonl")
# DVC writes these files in place: its message after it was killed while writing, and the file to remove.
CUT_SHORT = {"dvc.lock' validation failed": "dvc.lock", "Unable to read RWLock-file": ".dvc/tmp/rwlock"}
DVC_START_S = 1.0  # until the stage itself begins; moments are drawn from then to the stage's end


def main() -> None:
    """Make the undisturbed run, then kill and compare."""
    moments, seed = (int(argument) for argument in [*sys.argv[1:], *("60", "0")[len(sys.argv) - 1 :]])
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "project"
        run, durations = run_undisturbed(place)
        expected = describe(place)
        # Each copy has the path of the undisturbed run, because MLflow keeps absolute paths.
        reference = Project(place.rename(Path(folder) / "undisturbed"), run.environment)
        stages = list(durations)
        whole = 0
        for number in range(moments):
            stage, how = stages[number % len(stages)], ("group", "dvc")[number // len(stages) % 2]
            after_s = draw.uniform(DVC_START_S, DVC_START_S + durations[stage])
            project = fork(reference, place, stage)
            while not kill(project, stage, how, after_s):
                shutil.rmtree(place)
                project = fork(reference, place, stage)
                after_s *= 0.8
            done, note = repeat(project)
            faults = list(find_faults(project, done, expected))
            whole += not faults
            ran = ", ".join(re.findall(r"Running stage '(\S+)'", done.stdout)) or "nothing"
            print(
                f"{number + 1:>3}  {stage:<18} {how:<6} {after_s:5.1f} s  ran again: {ran}{note}", *faults, flush=True
            )
            shutil.rmtree(place)
        print(f"{whole} of {moments} ended with the bytes of the undisturbed run and no leftovers, seed {seed}")
    sys.exit(whole < moments)


def run_undisturbed(folder: Path) -> tuple[Project, dict[str, float]]:
    """Run the whole pipeline once; return the project, and how long each stage took, in seconds."""
    folder.mkdir()
    project = copy_project(folder, shrink)
    process = subprocess.Popen(
        ("dvc", "repro"), cwd=folder, env=project.environment, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None  # it is the pipe
    begun = {}
    for line in process.stdout:
        if found := re.match(r"Running stage '(\S+)'", line):
            begun[found[1]] = time.monotonic()
    if process.wait():
        sys.exit("the undisturbed run failed")
    ends = [*list(begun.values())[1:], time.monotonic()]
    return project, {stage: end - begun[stage] for stage, end in zip(begun, ends, strict=True)}


def fork(reference: Project, folder: Path, stage: str) -> Project:
    """Copy the undisturbed run without DVC's records of the stage, so that the stage has to run again."""
    store = shutil.ignore_patterns(*STORE) if stage == "register" else None
    shutil.copytree(reference.folder, folder, ignore=store, symlinks=True)
    shutil.rmtree(folder / ".dvc/cache/runs", ignore_errors=True)
    yaml = YAML(typ="safe")
    content = yaml.load(folder / "dvc.lock")
    del content["stages"][stage]
    yaml.dump(content, folder / "dvc.lock")
    return Project(folder, reference.environment)


def kill(project: Project, stage: str, how: str, after_s: float) -> bool:
    """Run one stage and kill it after `after_s`; return False if it ended before that."""
    process = subprocess.Popen(
        ("dvc", "repro", "--force", "--single-item", stage),
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(after_s)
        return False
    except subprocess.TimeoutExpired:
        if how == "group":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        return True


def repeat(project: Project) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run `dvc repro`; if DVC was killed while it wrote a file, remove that file, as docs/troubleshooting.md says."""
    done, note = project.run("dvc", "repro", check=False), ""
    for message, file in CUT_SHORT.items():
        if done.returncode and message in done.stderr:
            (project.folder / file).unlink()
            done, note = project.run("dvc", "repro", check=False), f" ({file} was cut short)"
    return done, note


def find_faults(project: Project, done: subprocess.CompletedProcess[str], expected: dict[str, str]) -> Iterator[str]:
    """Yield each difference from the end of the undisturbed run: an error, a process still alive, a file."""
    if done.returncode:
        yield f"\n{done.stdout}\n{done.stderr}"
    left = [process for process in psutil.process_iter() if works_in(process, project.folder)]
    # The live view is a process of its own, which may end a moment later.
    _, alive = psutil.wait_procs(left, timeout=20)
    yield from (f"still alive: {process.cmdline()}" for process in alive)
    found = describe(project.folder)
    yield from (
        f"differs: {name}" for name in sorted(found.keys() | expected.keys()) if found.get(name) != expected.get(name)
    )


def works_in(process: psutil.Process, folder: Path) -> bool:
    """Return whether a process runs in the project."""
    try:
        return process.cwd() == str(folder)
    except psutil.Error:
        return False


def describe(folder: Path) -> dict[str, str]:
    """Return what a run should leave: dvc.lock, the hash of each output, and the name of every other file."""
    found = {"dvc.lock": json.dumps(lock_without_times(folder))}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or name.startswith((".git/", ".dvc/", "mlruns/")) or "__pycache__" in name:
            continue
        content = path.read_bytes() if name.startswith(OUTPUTS) else b""
        if path.name == "receipt.json":
            content = b""  # it holds times
        elif path.name == "registry.json":
            content = re.sub(rb'"run_id": "\w+"', b"", content)
        found[name] = sha256(content).hexdigest()
    return found


def lock_without_times(folder: Path) -> Any:
    """Return dvc.lock's content without the hashes of the folders that hold receipts."""
    content = YAML(typ="safe").load(folder / "dvc.lock")
    for stage, entry in content["stages"].items():
        for out in entry["outs"]:
            # registry/ names runs, whose ids are random.
            if stage.startswith("train@") or stage == "register":
                for key in ("md5", "size"):
                    out.pop(key, None)
    return content


if __name__ == "__main__":
    main()
