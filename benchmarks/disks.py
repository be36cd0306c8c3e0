"""Run each stage on a full disk and on a read-only one, then again on a good disk, and compare the outputs.

`python -m benchmarks.disks`, on Linux: the project lies on a small tmpfs, mounted in a namespace of its own. Outputs
that a stage published before must stay, its message must not be a stack trace, and `dvc repro` afterwards must end with
the bytes of the undisturbed run. Prints a line per stage and fault.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.kills import describe, find_faults, fork, run_undisturbed
from tests.helpers.project import Project

ROOM = 2 << 30  # bytes, of the whole disk
SPARE = {"full": 16 << 10, "read-only": 64 << 20}  # bytes that are free while the stage runs
ISOLATED = "DISKS_ISOLATED"


def main() -> None:
    """Enter a mount namespace, make the undisturbed run, then break the disk for each stage and compare."""
    if ISOLATED not in os.environ:
        command = ("unshare", "--map-root-user", "--mount", sys.executable, "-m", "benchmarks.disks")
        sys.exit(subprocess.run(command, env=os.environ | {ISOLATED: "1"}).returncode)
    whole = number = 0
    with tempfile.TemporaryDirectory() as folder:
        reference, durations = run_undisturbed(Path(folder) / "undisturbed")
        expected = describe(reference.folder)
        for stage in durations:
            for fault in SPARE:
                disk = Path(folder) / "disk"
                disk.mkdir()
                subprocess.run(("mount", "-t", "tmpfs", "-o", f"size={ROOM}", "none", str(disk)), check=True)
                project = fork(reference, disk / "project", stage)
                before = describe_outputs(project)
                message, faults = run_on_bad_disk(project, stage, fault, disk)
                if describe_outputs(project) != before:
                    faults.append("an output was changed")
                remount(disk, f"size={ROOM},rw")
                faults += find_faults(project, project.run("dvc", "repro", check=False), expected)
                subprocess.run(("umount", str(disk)), check=True)
                shutil.rmtree(disk)
                whole, number = whole + (not faults), number + 1
                print(f"{stage:<18} {fault:<9} {message}", *faults, flush=True)
    print(f"{whole} of {number} kept what there was and ended with the bytes of the undisturbed run")
    sys.exit(whole < number)


def run_on_bad_disk(project: Project, stage: str, fault: str, disk: Path) -> tuple[str, list[str]]:
    """Run one stage by itself, as DVC would, on a disk with a fault; return its message, and the message's faults."""
    used = sum(path.stat().st_blocks * 512 for path in disk.rglob("*") if not path.is_symlink())
    remount(disk, "ro" if fault == "read-only" else f"size={used + SPARE[fault]}")
    module, _, model = stage.partition("@")
    done = project.run("python", "-m", f"pipeline.{module}", *([model] if model else []), check=False)
    if not done.returncode:
        return "went through", []
    lines = done.stderr.strip().splitlines()
    message = re.sub(re.escape(str(disk)), "…", lines[-1] if lines else "")
    return message[:150], ["a stack trace"] if "Traceback" in done.stderr else []


def describe_outputs(project: Project) -> dict[str, str]:
    """Return the hashes of the stages' outputs."""
    outputs = ("code/", "data/", "models/", "reports/", "registry/")
    return {name: digest for name, digest in describe(project.folder).items() if name.startswith(outputs)}


def remount(disk: Path, options: str) -> None:
    """Change the size of the disk, or whether it can be written."""
    subprocess.run(("mount", "-o", f"remount,{options}", str(disk)), check=True)


if __name__ == "__main__":
    main()
