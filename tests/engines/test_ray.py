"""`serving.batch --engine ray` on a local Ray: although processes are killed, no image is lost or answered twice."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest

from tests.helpers.batch_inputs import as_shards
from tests.helpers.models import save_model, write_artifacts
from tests.helpers.project import SOURCE, environment
from tests.helpers.waiting import eventually

pytest.importorskip("ray", reason="Ray isn't installed: `make test-engines` does it")

SHARDS, IMAGES = 24, 10_000


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    return save_model(folder / "saved", write_artifacts(folder))


@pytest.fixture
def command(model, tmp_path) -> list[str]:
    """A run on Ray over shards of the same images."""
    source = as_shards(tmp_path / "in", IMAGES)
    for number in range(1, SHARDS):
        os.link(source / "000.parquet", source / f"{number:03}.parquet")
    return [sys.executable, "-m", "serving.batch", "in", "out", "--model", str(model), "--engine", "ray"]


@pytest.fixture
def variables() -> Iterator[dict[str, str]]:
    """The environment variables of a run; Ray puts its sockets into RAY_TMPDIR, and their paths must be short."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = f"{SOURCE}:{os.environ.get('PYTHONPATH', '')}"
        yield environment() | {"PYTHONPATH": path, "RAY_TMPDIR": folder}


def finished(folder: Path) -> list[Path]:
    return [file for file in folder.glob("*.parquet") if not file.name.startswith(".")]


def await_answers(run: subprocess.Popen[bytes], folder: Path, count: int) -> None:
    """Wait until that many shards are answered."""
    eventually(lambda: len(finished(folder)) >= count or run.poll() is not None, 600)
    assert run.poll() is None  # otherwise there is nothing to kill


def kill_at_work(driver: psutil.Process) -> psutil.Process | None:
    """Kill one of the driver's processes that has a shard open, if there is such a process now."""
    for process in driver.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.suspend()
            if any(file.path.endswith(".parquet") for file in process.open_files()):
                process.kill()
                return process
            process.resume()
    return None


def test_killed_processes_and_a_killed_command_lose_and_repeat_nothing(command, variables, tmp_path):
    output, damaged = tmp_path / "out", tmp_path / "in" / "001.parquet"
    damaged.unlink()
    damaged.write_bytes(b"no Parquet")

    with subprocess.Popen(command, cwd=tmp_path, env=variables, stdout=subprocess.DEVNULL) as run:
        driver = psutil.Process(run.pid)
        await_answers(run, output, 2)
        killed = eventually(lambda: kill_at_work(driver))
        assert list(output.glob(".*.new"))  # the files that it had begun
        await_answers(run, output, len(finished(output)) + 4)
        descendants = driver.children(recursive=True)
        run.kill()
    psutil.wait_procs([killed, *descendants], 30)
    before = {file: file.stat().st_mtime_ns for file in finished(output)}
    assert len(before) < SHARDS - 1  # otherwise the test would show nothing

    again = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=600)
    assert again.returncode == 1
    assert f"going on: {len(before)} of {SHARDS} shards are scored already" in again.stderr
    assert "001.parquet: " in again.stderr
    assert again.stderr.splitlines()[-1].startswith(f"error: 1 of {SHARDS} shards have no answers")
    assert "Traceback" not in again.stderr
    assert len(finished(output)) == SHARDS - 1

    shutil.copy(tmp_path / "in/000.parquet", damaged)
    last = subprocess.run(command[:-2], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=600)
    assert last.stdout == f"out: {SHARDS * IMAGES:,} images, answered by bright_pixel\n"
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert sorted(os.listdir(output)) == sorted([*os.listdir(tmp_path / "in"), "_answers.json"])
    assert pd.read_parquet(output / "001.parquet")["row"].tolist() == list(range(IMAGES))
    assert len({file.read_bytes() for file in finished(output)}) == 1
