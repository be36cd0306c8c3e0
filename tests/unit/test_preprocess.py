"""The stage `preprocess`, on small data sets."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from pipeline import preprocess
from pipeline.cli import UserError
from pipeline.paths import Workspace
from tests.helpers.datasets import random_raw_files, write_pictures, write_raw_files
from tests.helpers.params import PARAMS


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A project with a raw data set of 600 + 100 random images, of which 60 are validation images."""
    workspace = Workspace(tmp_path)
    write_raw_files(workspace.raw, random_raw_files())
    workspace.params.write_text(PARAMS)
    set_parameter(workspace, "validation_images: 5000", "validation_images: 60")
    return workspace


@pytest.fixture
def leaves(tmp_path: Path) -> Workspace:
    """A project with a folder of 9 + 9 pictures of two classes."""
    workspace = Workspace(tmp_path)
    workspace.raw.mkdir(parents=True)
    workspace.params.write_text(PARAMS)
    set_parameter(workspace, "dataset: mnist", "dataset: leaves\ndatasets:\n  leaves: {KEYS}")
    set_parameter(workspace, "KEYS", "folder: pictures/leaves, height: 28, width: 28")
    write_pictures(tmp_path / "pictures/leaves", {"ash": 9, "oak": 9})
    return workspace


def set_parameter(workspace: Workspace, old: str, new: str) -> None:
    text = workspace.params.read_text()
    assert old in text
    workspace.params.write_text(text.replace(old, new))


def validating(workspace: Workspace) -> list[int]:
    return np.load(workspace.prepared / "val" / "index.npy").tolist()


def read_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_dataset_json_describes_what_was_written(workspace, capsys):
    preprocess.main(workspace)
    description = json.loads(workspace.dataset.read_text())
    assert (description["name"], description["classes"], description["seed"]) == ("mnist", 10, 0)
    assert description["splits"]["val"]["images"] == len(validating(workspace)) == 60
    assert capsys.readouterr().out == "mnist: 540 train, 60 val, 100 test\n"


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
        ("t10k-labels-idx1-ubyte", np.full(100, 10, np.uint8), "class_names has 10 names"),
        ("train-labels-idx1-ubyte", np.zeros(0, np.uint8), "no images"),
    ],
)
def test_a_wrong_file_is_reported_and_nothing_is_published(workspace, name, content, message):
    write_raw_files(workspace.raw, {name: content})
    with pytest.raises(UserError, match=message):
        preprocess.main(workspace)
    assert not list(workspace.prepared.parent.glob("*prepared*"))


def test_pictures_are_prepared_as_the_description_says(leaves):
    preprocess.main(leaves)
    description = json.loads(leaves.dataset.read_text())
    assert description["class_names"] == ["ash", "oak"]
    assert (description["image_shape"], description["resize"]) == ([28, 28, 3], "stretch")
    assert [split["per_class"] for split in description["splits"].values()] == [[6, 6], [1, 1], [2, 2]]
    assert set(description["files_sha256"]) == read_files(leaves.prepared).keys() - {"dataset.json"}
    assert description["found"] == {"no_pictures": 0, "broken": 0, "duplicates": 0, "contradictions": 0}


def test_the_test_set_of_pictures_does_not_follow_the_seed(leaves):
    preprocess.main(leaves)
    before, val = (leaves.prepared / "test/index.npy").read_bytes(), validating(leaves)
    set_parameter(leaves, "seed: 0", "seed: 1")
    preprocess.main(leaves)
    assert (leaves.prepared / "test/index.npy").read_bytes() == before
    assert validating(leaves) != val


def test_pictures_are_prepared_by_the_function_that_serves(leaves):
    from serving.images import ALL_FORMATS, Form, prepare

    preprocess.main(leaves)
    rows = (leaves.prepared / "sources.csv").read_text().splitlines()[1:]
    images, index = (np.load(leaves.prepared / f"train/{part}.npy") for part in ("images", "index"))
    for pixels, row in zip(images, index, strict=True):
        path, _, split, _ = rows[row].split(",")
        served = prepare((leaves.root / "pictures/leaves" / path).read_bytes(), Form(28, 28, 3, "stretch"), ALL_FORMATS)
        np.testing.assert_array_equal(pixels, served)
        assert split == "train"


def test_what_is_left_out_is_counted_and_listed(leaves, capsys):
    folder = leaves.root / "pictures/leaves"
    (folder / "oak/note.txt").write_text("no picture")
    (folder / "oak/.DS_Store").write_text("no picture either")
    (folder / "oak/empty.png").touch()
    shutil.copy(folder / "oak/0.png", folder / "oak/copy.png")
    shutil.copy(folder / "oak/1.png", folder / "ash/wrong.png")
    set_parameter(leaves, "width: 28}", "width: 28, contradictions: skip}")
    preprocess.main(leaves)
    assert capsys.readouterr().out.endswith("; found 1 no pictures, 1 broken, 1 duplicates, 2 contradictions\n")
    assert (leaves.prepared / "skipped.csv").read_text().splitlines() == [
        "path,label,reason",
        "oak/empty.png,oak,broken: the image file is empty: it has no bytes",
        "oak/note.txt,,no picture",
        "ash/wrong.png,ash,contradiction: the same as oak/1.png (oak)",
        "oak/1.png,oak,contradiction: the same as ash/wrong.png (ash)",
        "oak/copy.png,oak,duplicate: the same as oak/0.png",
    ]
    assert "wrong" not in (leaves.prepared / "sources.csv").read_text()


def remove_all(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def split_by_folders(folder: Path, *parts: str) -> None:
    remove_all(folder)
    for place, part in enumerate(parts):
        write_pictures(folder / part, {"ash": 4, "oak": 4}, first=100 * place)


def lack_a_test_class(folder: Path) -> None:
    split_by_folders(folder, "train", "test")
    shutil.rmtree(folder / "test/oak")


def lack_a_training_class(folder: Path) -> None:
    split_by_folders(folder, "train", "test")
    write_pictures(folder / "test", {"elm": 2}, first=300)


def repeat_in_test(folder: Path) -> None:
    split_by_folders(folder, "train", "test")
    shutil.copy(folder / "train/oak/2.png", folder / "test/oak/same.png")


def write_table(*lines: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "labels.csv").write_text("\n".join(lines))


def write_parquet(**columns: list) -> Callable[[Path], object]:
    return lambda folder: parquet.write_table(pyarrow.table(columns), folder / "all.parquet")


ROWS = [f"{name}/{place}.png,{name}" for name in ("ash", "oak") for place in range(9)]
CSV, PARQUET, REFUSE = "form: csv", "form: parquet", "broken: refuse"
BROKEN: dict[str, tuple[Callable[[Path], object], str, list[str]]] = {
    "no folder": (shutil.rmtree, "", ["there is no folder", "pictures/leaves"]),
    "an empty folder": (remove_all, "", ["has no folders: make one per class"]),
    "pictures without a class": (
        lambda folder: [remove_all(folder), Image.new("RGB", (8, 8)).save(folder / "a.png")], "",
        ["has no folders: make one per class"],
    ),
    "one class": (lambda folder: shutil.rmtree(folder / "oak"), "", ["there is one class, ash"]),
    "an empty class": (lambda folder: (folder / "elm").mkdir(), "", ["no picture of elm", "remove the folder"]),
    "a class of other files": (
        lambda folder: write_raw_files(folder / "elm", {"a.heic": b""}), "",
        ["no picture of elm, but elm/a.heic", ".jpeg"],
    ),
    "one picture of a class": (
        lambda folder: write_pictures(folder, {"elm": 1}, first=50), "", ["elm has 1", "3 images"],
    ),
    "a class of broken pictures": (
        lambda folder: write_raw_files(folder / "elm", dict.fromkeys(("0.png", "1.png"), b"")), "", ["none of elm"],
    ),
    "one picture under two labels": (
        lambda folder: shutil.copy(folder / "oak/3.png", folder / "ash/other.png"), "",
        ["equal images have two labels", "ash/other.png (ash)", "oak/3.png (oak)", "contradictions: skip"],
    ),
    "a training picture in test": (repeat_in_test, "", ["test/oak/same.png (oak, test) and train/oak/2.png (oak)"]),
    "a class without test pictures": (lack_a_test_class, "", ["the test images have none of oak"]),
    "a class without training pictures": (lack_a_training_class, "", ["the training images have none of elm"]),
    "a folder of validation pictures": (
        lambda folder: split_by_folders(folder, "train", "val"), "", ["the folders train, val", "drawn from those"],
    ),
    "a test folder beside classes": (
        lambda folder: write_pictures(folder, {"test": 3}, first=50), "", ["the folders ash, oak, test"],
    ),
    "a broken picture that is refused": (
        lambda folder: (folder / "oak/3.png").write_bytes((folder / "oak/3.png").read_bytes()[:90]), REFUSE,
        ["1 pictures can't be read", "oak/3.png (", "damaged"],
    ),
    "a picture that is none": (lambda folder: (folder / "oak/3.png").write_text("a"), REFUSE, ["3.png (not an image"]),
    "a link to a folder": (lambda folder: (folder / "elm").symlink_to(folder / "oak"), "", ["elm is a link", "mount"]),
    "other class names": (lambda folder: None, "class_names: [ash, elm]", ["class_names lacks oak"]),
    "too few to validate": (
        lambda folder: [shutil.rmtree(folder), write_pictures(folder, dict.fromkeys("abcd", 4))], "",
        ["validation_images: 2 images can't show each of 4 classes"],
    ),
    "no table": (lambda folder: None, CSV, ["has no table: a file that ends in .csv"]),
    "a table without labels": (write_table("path,tree", *ROWS), CSV, ["no column label; it has path, tree"]),
    "a table with gaps": (write_table("path,label", *ROWS, "oak/1.png,"), CSV, ["line 20", "should not be empty"]),
    "a table of missing files": (write_table("path,label", *ROWS, "b.png,oak"), CSV, ["aren't there: b.png"]),
    "a table that leads outside": (write_table("path,label", *ROWS, "../b.png,oak"), CSV, ["'../b.png'", "without .."]),
    "a table that is none": (lambda folder: (folder / "a.csv").write_bytes(b"path,label\n\xff\xfe"), CSV, ["UTF-8"]),
    "a Parquet file that is none": (
        lambda folder: (folder / "a.parquet").write_text("PAR1"), PARQUET, ["no Parquet file, or damaged"],
    ),
    "Parquet without images": (write_parquet(label=[1, 2]), PARQUET, ["no column image; it has label"]),
    "Parquet with numbers that have no names": (
        write_parquet(image=[b""], label=[2]), f"{PARQUET}, class_names: [ash, oak]",
        ["all.parquet#0: the label 2 has no name; there are ash, oak"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_folder_is_named_in_one_message_and_what_was_prepared_stays(leaves, kind):
    break_it, keys, messages = BROKEN[kind]
    write_raw_files(leaves.prepared, {"dataset.json": b"of before"})
    before = read_files(leaves.root / "data")
    break_it(leaves.root / "pictures/leaves")
    set_parameter(leaves, "width: 28}", f"width: 28, {keys}}}" if keys else "width: 28}")
    with pytest.raises(UserError) as problem:
        preprocess.main(leaves)
    for part in messages:
        assert part in str(problem.value)
    assert read_files(leaves.root / "data") == before
