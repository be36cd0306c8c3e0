"""The stage preprocess, on a small data set."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from pipeline import preprocess
from pipeline.cli import UserError
from pipeline.paths import Workspace
from tests.helpers.datasets import random_raw_files, write_raw_files
from tests.helpers.params import PARAMS


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A project with a raw data set of 600 + 100 random images, of which 60 validate."""
    workspace = Workspace(tmp_path)
    write_raw_files(workspace.raw, random_raw_files())
    workspace.params.write_text(PARAMS)
    set_parameter(workspace, "validation_images: 5000", "validation_images: 60")
    return workspace


def set_parameter(workspace: Workspace, old: str, new: str) -> None:
    text = workspace.params.read_text()
    assert old in text
    workspace.params.write_text(text.replace(old, new))


def validating(workspace: Workspace) -> list[int]:
    return np.load(workspace.prepared / "val" / "index.npy").tolist()


def test_dataset_json_describes_what_was_written(workspace, capsys):
    preprocess.main(workspace)
    description = json.loads(workspace.dataset.read_text())
    assert (description["name"], description["classes"], description["seed"]) == ("mnist", 10, 0)
    assert description["splits"]["val"]["images"] == len(validating(workspace)) == 60
    assert capsys.readouterr().out == "mnist: 540 train, 60 val, 100 test; 0 training images are also in test\n"


def test_the_split_follows_the_seed(workspace):
    preprocess.main(workspace)
    first = validating(workspace)
    preprocess.main(workspace)
    assert validating(workspace) == first
    set_parameter(workspace, "seed: 0", "seed: 1")
    preprocess.main(workspace)
    assert validating(workspace) != first


def test_packed_files_give_the_same(workspace):
    preprocess.main(workspace)
    plain = (workspace.prepared / "val" / "images.npy").read_bytes()
    for path in list(workspace.raw.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    preprocess.main(workspace)
    assert (workspace.prepared / "val" / "images.npy").read_bytes() == plain


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", b"<html>", "magic number"),
        ("train-images-idx3-ubyte", np.full((599, 28, 28), 200, np.uint8), "differ in number"),
        ("t10k-images-idx3-ubyte", np.full((101, 28, 28), 200, np.uint8), "differ in number"),
        ("t10k-images-idx3-ubyte", np.ones((100, 28, 28), np.uint8), "brightest pixel is 1"),
        ("t10k-labels-idx1-ubyte", np.full(100, 10, np.uint8), "test labels"),
        ("train-labels-idx1-ubyte", np.zeros(0, np.uint8), "no images"),
    ],
)
def test_a_wrong_file_is_reported_and_nothing_is_published(workspace, name, content, message):
    write_raw_files(workspace.raw, {name: content})
    with pytest.raises(UserError, match=message):
        preprocess.main(workspace)
    assert not list(workspace.prepared.parent.glob("*prepared*"))
