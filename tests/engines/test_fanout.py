"""Training on many machines: each worker and the collector has its own clone, and they share one DVC remote."""

import getpass
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.helpers.project import Project, copy_project, environment, shrink
from tests.helpers.waiting import eventually

PRESETS = ("dense_10", "tiny_cnn")
SLURM = ("munged", "slurmctld", "slurmd", "sbatch")
PATHS = f"{os.environ['PATH']}:/usr/sbin:/sbin"
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthInfo=socket={folder}/munge.socket
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=16000
PartitionName=all Nodes={host} Default=YES
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose commits are in a bare repository, and whose prepared data is in a DVC remote in a folder."""
    folder = tmp_path_factory.mktemp("fanout")
    (folder / "hub").mkdir()
    project = copy_project(folder / "hub", shrink)
    project.run("dvc", "remote", "add", "--default", "team", str(folder / "remote"))
    project.run("git", "clone", "--quiet", "--bare", ".", str(folder / "hub.git"))
    project.run("git", "remote", "add", "origin", str(folder / "hub.git"))
    commit(project)
    project.repro("preprocess")
    project.run("dvc", "push", "--run-cache")
    return project


def commit(project: Project) -> None:
    """Commit all changes, and push them."""
    project.run("git", "commit", "--quiet", "--all", "--message", "Change")
    project.run("git", "push", "--quiet", "origin", "main")


def clone(hub: Project, folder: Path) -> Project:
    """Return a clone of the bare repository, as on a machine without a network."""
    hub.run("git", "clone", "--quiet", str(hub.folder.with_name("hub.git")), str(folder))
    return Project(folder, environment() | {"DATASET_MIRROR": ""})


def trained(output: str) -> list[str]:
    """Return the models that were trained according to DVC's output."""
    return re.findall(r"^Running stage 'train@([\w-]+)'", output, re.MULTILINE)


def check_collected(collector: Project, output: str) -> None:
    """Assert that the collector ran only `register`, and has all models and a champion."""
    assert re.findall(r"^Running stage '(.*)'", output, re.MULTILINE) == ["register"]
    assert set(collector.registered()) == set(PRESETS)
    assert "  champion\n" in output
    assert {"dvc.lock", "promotions.jsonl"} <= set(collector.run("git", "status", "--short").stdout.split())


def test_workers_train_each_model_once_and_the_collector_none(hub, tmp_path):
    workers = [clone(hub, tmp_path / str(number)) for number in range(len(PRESETS))]
    with ThreadPoolExecutor() as pool:
        outputs = pool.map(
            lambda number: workers[number].run("sh", "deploy/train.sh", str(number)).stdout, range(len(workers))
        )
        assert [trained(output) for output in outputs] == [[name] for name in PRESETS]
    assert not workers[0].run("git", "status", "--short", "promotions.jsonl").stdout
    collector = clone(hub, tmp_path / "collector")
    check_collected(collector, collector.run("sh", "deploy/collect.sh").stdout)


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Path]:
    """The configuration of a Slurm cluster on this machine alone: munge, the controller, and the machine as node."""
    missing = [name for name in SLURM if not shutil.which(name, path=PATHS)]
    if missing:
        pytest.skip(f"Slurm isn't installed (slurm-wlm, munge): no {', '.join(missing)}")
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        ports = (one.getsockname()[1], two.getsockname()[1])
    host = socket.gethostname().partition(".")[0]
    file = tmp_path / "slurm.conf"
    file.write_text(CONFIGURATION.format(host=host, ports=ports, folder=tmp_path, user=getpass.getuser()))
    key = tmp_path / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    names = {"key-file": key} | {f"{kind}-file": tmp_path / f"munge.{kind}" for kind in ("pid", "log", "seed")}
    munged = ["munged", "--foreground", "--force", f"--socket={tmp_path}/munge.socket"]
    munged += [f"--{option}={path}" for option, path in names.items()]
    variables = os.environ | {"PATH": PATHS, "SLURM_CONF": str(file)}
    started = []
    with (tmp_path / "daemons.log").open("w") as log:
        try:
            for command in (munged, ["slurmctld", "-D"], ["slurmd", "-D"]):
                started.append(subprocess.Popen(command, env=variables, stdout=log, stderr=log))
                if command is munged:
                    eventually((tmp_path / "munge.socket").exists)
            eventually(lambda: b"idle" in subprocess.run(("sinfo",), env=variables, capture_output=True).stdout)
            yield file
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait(60)


def test_slurms_array_trains_what_changed_and_the_job_after_it_registers_though_a_task_failed(hub, slurm, tmp_path):
    hub.edit(lambda content: content["models"]["dense_10"].update(epochs=1))
    commit(hub)
    submitter = clone(hub, tmp_path / "submitter")
    submitter.environment["SLURM_CONF"] = str(slurm)
    failing = len(PRESETS)  # there is no preset of this number
    array = (f"--array=0-{failing}", "--cpus-per-task=1")
    job = submitter.run("sbatch", "--parsable", *array, "deploy/slurm/train.sbatch").stdout.strip()
    # As in docs/many-machines.md; and a dependency that can't be met any more ends the job, which would wait for ever.
    collect = ("--wait", f"--dependency=afterany:{job}", "--wrap=sh deploy/collect.sh")
    submitter.run("sbatch", *collect, "--output=collect.out", "--kill-on-invalid-dep=yes")
    outputs = [(submitter.folder / f"slurm-{job}_{number}.out").read_text() for number in range(len(PRESETS))]
    assert trained(outputs[0]) == ["dense_10"]
    assert trained(outputs[1]) in ([], ["tiny_cnn"])  # empty if the other test has pushed it
    assert "IndexError" in (submitter.folder / f"slurm-{job}_{failing}.out").read_text()
    check_collected(submitter, (submitter.folder / "collect.out").read_text())
