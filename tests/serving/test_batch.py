"""The batch tool in processes that are killed, in memory, and on a trained champion."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.helpers.batch_inputs import FORMS, as_folder, as_npy, many
from tests.helpers.batch_runs import check_going_on, scored
from tests.helpers.batch_stub import Stub
from tests.helpers.project import SOURCE


def in_a_process(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run batch_stub.py as a program."""
    script = SOURCE / "tests/helpers/batch_stub.py"
    return subprocess.run(
        (sys.executable, script, *arguments),
        env=os.environ | {"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def killed(source: Path, output: Path) -> None:
    """Score the source in a process that is killed after two of its shards."""
    done = in_a_process("stopped", "SIGKILL", source, output)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not output.exists()


@pytest.mark.parametrize("form", ["npy", "idx, zipped", "parquet, bytes"])
def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(form, tmp_path, capsys):
    check_going_on(FORMS[form](tmp_path, many(4500)), tmp_path, killed, capsys)


def test_a_killed_run_over_a_folder_goes_on(tmp_path):
    source = as_folder(tmp_path / "in", many(2100) + np.uint8(1))
    (source / "0000.png").write_bytes(b"")
    scored(source, tmp_path / "whole.parquet")
    killed(source, tmp_path / "out.parquet")
    model = Stub()
    scored(source, tmp_path / "out.parquet", model)
    assert model.asked == 100
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupted_run_says_how_to_go_on(name, tmp_path):
    source, output = as_npy(tmp_path / "a.npy", many(4500)), tmp_path / "out.parquet"
    done = in_a_process("stopped", name, source, output)
    assert done.returncode == 130
    assert done.stderr == "interrupted: what is scored so far is kept, and the same command goes on from there\n"
    model = Stub()
    assert len(scored(source, output, model)) == 4500
    assert model.asked == 2500


def test_memory_does_not_grow_with_the_input(tmp_path):
    peaks = []
    for count in (100_000, 400_000):
        done = in_a_process("memory", tmp_path / f"{count}.npy", str(count))
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) / 1024)
    # The longer input has 224 MiB more of pixels, and its output has 5 MiB more of answers.
    assert peaks[1] - peaks[0] < 24


@pytest.fixture(scope="module")
def reported(project) -> tuple[np.ndarray, list[str]]:
    """The shrunken pipeline's test images, and its champion's reported answers to them."""
    images = np.load(project.folder / "data/prepared/test/images.npy")[..., 0]
    champion = mlflow.MlflowClient(f"sqlite:///{project.folder}/mlflow.db").get_model_version_by_alias(
        "digits", "champion"
    )
    answers = pd.read_csv(project.folder / "reports" / champion.tags["model"] / "predictions.csv")
    return images, answers.query("split == 'test'")["answer"].astype(str).tolist()


def command(*arguments: str | Path) -> tuple[str, ...]:
    return (sys.executable, "-m", "serving.batch", *map(str, arguments), "--model", "models:/digits@champion")


def test_the_champion_answers_a_folder_and_an_array_as_the_report_says(project, reported, tmp_path):
    images, expected = reported
    (tmp_path / "in").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "in" / f"{number:05}.png")
    project.run(*command(tmp_path / "in", tmp_path / "folder.parquet"))
    without_model = command(as_npy(tmp_path / "a.npy", images), tmp_path / "array.parquet")[:-2]
    done = project.run(*without_model)  # the champion of the last registration
    assert done.stdout.startswith(f"{tmp_path}/array.parquet: {len(images):,} images, answered by digits version ")
    for output in ("folder", "array"):
        assert pd.read_parquet(tmp_path / f"{output}.parquet")["label"].tolist() == expected


def test_a_folder_with_broken_images_ends_with_3_and_a_fault_with_1(project, tmp_path):
    folder = as_folder(tmp_path / "in", many(3) + np.uint8(1))
    (folder / "0000.png").write_bytes(b"")
    done = project.run(*command(folder, tmp_path / "out.parquet"), check=False)
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == "1 of 3 images couldn't be read: the column error says why"
    assert len(pd.read_parquet(tmp_path / "out.parquet")) == 3

    for arguments, message in {
        (tmp_path / "nowhere", tmp_path / "out.parquet"): "doesn't exist",
        (folder, tmp_path / "no" / "out.parquet"): "name a file in a folder that exists",
    }.items():
        done = project.run(*command(*arguments), check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
    done = project.run(*command(folder, tmp_path / "out.parquet")[:-1], "models:/mnist@champion", check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "has no models:/mnist@champion" in done.stderr
    assert done.stderr.endswith("; it has models:/digits@champion; name another model with --model\n")
