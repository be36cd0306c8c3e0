import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.cli import UserError
from pipeline.config.catalogue import CATALOGUE, WriterTables
from pipeline.config.dataset import Dataset
from pipeline.data import images as images_module
from pipeline.data.preparation import prepare, summarise
from pipeline.data.splits import draw_validation_mask
from pipeline.paths import Workspace
from serving.image_files import MAX_FILE_BYTES
from tests.helpers.datasets import random_raw_files, write_pictures, write_raw_files, write_writers

SPLITS = ("train", "val", "test")
LEAVES = Dataset(folder="pictures/leaves", height=8, width=8)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A project with 600 + 100 random images and their labels, in MNIST's form."""
    write_raw_files(Workspace(tmp_path).raw, random_raw_files())
    return Workspace(tmp_path)


@pytest.fixture
def leaves(tmp_path: Path) -> Workspace:
    """A project with 40 + 40 pictures of two classes, of ten people each."""
    Workspace(tmp_path).raw.mkdir(parents=True)
    folder = tmp_path / "pictures/leaves"
    write_pictures(folder, {"ash": 40, "oak": 40})
    for path in list(folder.rglob("*.png")):
        path.rename(path.with_name(f"person{int(path.stem) % 10}_{path.name}"))
    return Workspace(tmp_path)


def run(
    workspace: Workspace, dataset: Dataset = CATALOGUE["mnist"], seed: int = 0, writers: WriterTables | None = None
) -> dict[str, Any]:
    workspace.prepared.mkdir(parents=True)
    return prepare(workspace, workspace.prepared, "some", dataset, 60, seed, writers)


def read(workspace: Workspace, split: str, part: str) -> np.ndarray:
    return np.load(workspace.prepared / split / f"{part}.npy")


def read_sources(workspace: Workspace) -> list[list[str]]:
    return [line.split(",") for line in (workspace.prepared / "sources.csv").read_text().splitlines()[1:]]


def test_every_image_is_once_in_a_split_with_its_own_label(workspace):
    contents = random_raw_files()
    run(workspace)
    for name, splits in (("train", ("train", "val")), ("t10k", ("test",))):
        places = np.concatenate([read(workspace, split, "index") for split in splits])
        assert sorted(places) == list(range(len(contents[f"{name}-images-idx3-ubyte"])))
        for split in splits:
            index, pixels, labels = (read(workspace, split, part) for part in ("index", "images", "labels"))
            np.testing.assert_array_equal(pixels, contents[f"{name}-images-idx3-ubyte"][index][..., None])
            np.testing.assert_array_equal(labels, contents[f"{name}-labels-idx1-ubyte"][index])
            assert (pixels.dtype, labels.dtype, index.dtype) == (np.uint8, np.uint16, np.int64)


def test_published_images_are_split_as_ever(workspace):
    run(workspace, seed=3)
    mask = draw_validation_mask(random_raw_files()["train-labels-idx1-ubyte"].astype(np.uint16), 60, 3)
    np.testing.assert_array_equal(read(workspace, "val", "index"), np.flatnonzero(mask))


def write_tables(workspace: Workspace) -> WriterTables:
    """Write the tables of writers: 60 people for the training images, one image per class each, 5 for test images."""
    files = {"train.tsv.gz": ("train", 60), "test.tsv.gz": ("t10k", 5)}
    for place, (file, (name, people)) in enumerate(files.items()):
        labels = random_raw_files()[f"{name}-labels-idx1-ubyte"]
        writers = 100 * place + np.arange(len(labels)) * people // len(labels)
        write_writers(workspace.raw / file, labels.tolist(), writers.tolist())
    return WriterTables("tables", (), dict.fromkeys(files, ""))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_writer_is_on_two_sides_and_about_as_many_images_of_each_class_validate(workspace, seed):
    description = run(workspace, seed=seed, writers=write_tables(workspace))
    groups = {split: set(read(workspace, split, "groups").tolist()) for split in SPLITS}
    assert len(set().union(*groups.values())) == sum(map(len, groups.values())) == 65
    assert [description["splits"][split]["groups"] for split in SPLITS] == [54, 6, 5]
    assert read(workspace, "test", "index").tolist() == list(range(100))
    assert description["validation_images"] == 60
    assert all(5 <= count <= 7 for count in description["splits"]["val"]["per_class"])
    assert {f"{split}/groups.npy" for split in SPLITS} <= description["files_sha256"].keys()


def test_writers_that_are_known_do_not_change_what_is_prepared_without_them(workspace, tmp_path):
    run(workspace)
    (tmp_path / "other").mkdir()
    write_tables(workspace)
    prepare(workspace, tmp_path / "other", "some", CATALOGUE["mnist"], 60, 0)
    before, after = ({path.name for path in folder.rglob("*")} for folder in (workspace.prepared, tmp_path / "other"))
    assert before == after
    assert "groups.npy" not in before
    for path in workspace.prepared.rglob("*.npy"):
        assert path.read_bytes() == (tmp_path / "other" / path.relative_to(workspace.prepared)).read_bytes()


def test_the_chunks_do_not_change_what_is_written(workspace, tmp_path, monkeypatch):
    run(workspace)
    monkeypatch.setattr(images_module, "CHUNK_VALUES", 64 * 28 * 28)
    (tmp_path / "other").mkdir()
    prepare(workspace, tmp_path / "other", "some", CATALOGUE["mnist"], 60, 0)
    for path in workspace.prepared.rglob("*.npy"):
        assert path.read_bytes() == (tmp_path / "other" / path.relative_to(workspace.prepared)).read_bytes()


def test_the_description_says_what_was_written(workspace):
    contents = random_raw_files()
    train, test = contents["train-images-idx3-ubyte"], contents["t10k-images-idx3-ubyte"]
    train[[5, 17, 300]] = test[[1, 2, 2]]
    train[7] = train[8]
    write_raw_files(workspace.raw, contents)
    description = run(workspace, seed=3)
    assert list(description) == [
        "name", "classes", "class_names", "image_shape", "resize", "scale", "seed", "splits", "found", "sources_sha256",
        "files_sha256",
    ]  # fmt: skip
    # With random labels, images 5, 17, 300, 1 and 2, and 7 and 8 contradict each other; they are kept as published.
    assert description["found"] == {"no_pictures": 0, "broken": 0, "duplicates": 0, "contradictions": 7}
    assert (description["name"], description["classes"], description["seed"]) == ("some", 10, 3)
    assert (description["image_shape"], description["resize"]) == ([28, 28, 1], "ink")
    assert (description["class_names"], description["scale"]) == (list("0123456789"), float(np.float32(1 / 255)))
    assert [description["splits"][name]["images"] for name in SPLITS] == [540, 60, 100]
    assert set(description["sources_sha256"]) == set(contents)
    assert set(description["files_sha256"]) == {
        f"{split}/{part}.npy" for split in SPLITS for part in ("images", "labels", "index")
    }


def test_a_split_is_summarised(workspace):
    pixels = random_raw_files()["t10k-images-idx3-ubyte"]
    run(workspace)
    summary = summarise(workspace.prepared / "test", 10)
    assert summary == {
        "images": 100,
        "per_class": [10] * 10,
        "mean": pytest.approx(pixels.mean() / 255, abs=1e-6),
        "deviation": pytest.approx(pixels.std() / 255, abs=1e-6),
    }
    assert len(str(summary["mean"])) <= 8  # six digits


@pytest.mark.parametrize("images", [599, 601, 512, 700])
def test_images_without_labels_and_labels_without_images_are_refused(workspace, images):
    write_raw_files(workspace.raw, {"train-images-idx3-ubyte": np.full((images, 28, 28), 200, np.uint8)})
    with pytest.raises(UserError, match=rf"train: {images} images and 600 labels differ in number"):
        run(workspace)


@pytest.mark.parametrize(("brightest", "refused"), [(1, True), (127, True), (128, False)])
def test_images_that_are_scaled_already_are_refused(workspace, brightest, refused):
    images = np.zeros((100, 28, 28), np.uint8)
    images[20] = brightest
    write_raw_files(workspace.raw, {"t10k-images-idx3-ubyte": images})
    if refused:
        with pytest.raises(UserError, match=f"t10k: the brightest pixel is {brightest}"):
            run(workspace)
    else:
        run(workspace)


def test_sources_name_the_picture_of_each_row(leaves):
    run(leaves, LEAVES)
    sources = read_sources(leaves)
    assert [row[0] for row in sources] == sorted(row[0] for row in sources)
    assert [len(row[3]) for row in sources] == [64] * 80
    for split in SPLITS:
        rows = [sources[place] for place in read(leaves, split, "index")]
        assert {row[2] for row in rows} == {split}
        assert [row[1] for row in rows] == [("ash", "oak")[label] for label in read(leaves, split, "labels")]


@pytest.mark.parametrize("duplicates", ["skip", "keep"])
def test_people_and_equal_pictures_stay_on_one_side(leaves, duplicates):
    folder = leaves.root / "pictures/leaves"
    for place in (0, 3, 6):  # persons 0 and 1, 3 and 4, 6 and 7 share a picture
        source = folder / f"oak/person{place % 10}_{place}.png"
        (folder / f"oak/person{(place + 1) % 10}_copy{place}.png").write_bytes(source.read_bytes())
    run(leaves, LEAVES.model_copy(update={"group_separator": "_", "duplicates": duplicates}))
    sides: dict[str, set[str]] = {}
    for path, _, split, digest in read_sources(leaves):
        sides.setdefault(path.split("/")[1].split("_")[0], set()).add(split)
        sides.setdefault(digest, set()).add(split)
    assert {len(splits) for splits in sides.values()} == {1}


def test_the_groups_of_pictures_are_kept(leaves):
    description = run(leaves, LEAVES.model_copy(update={"group_separator": "_"}))
    for split in SPLITS:
        people = [read_sources(leaves)[place][0].split("/")[1][:7] for place in read(leaves, split, "index")]
        pairs = set(zip(people, read(leaves, split, "groups").tolist(), strict=True))
        assert len(pairs) == len(set(people)) == description["splits"][split]["groups"]


def test_one_group_cannot_be_split(leaves):
    with pytest.raises(UserError, match=r"the split val would have none of ash, oak: .*group_separator"):
        run(leaves, LEAVES.model_copy(update={"group_separator": "erson"}))


def test_a_separator_that_no_name_has_is_refused(leaves):
    """Otherwise pictures that belong together would be in training and in the test, without a word."""
    with pytest.raises(UserError, match=r"no picture's file name has the group_separator '-'.* or remove the key"):
        run(leaves, LEAVES.model_copy(update={"group_separator": "-"}))


def test_a_training_picture_that_is_in_test_too_is_left_out_of_training(leaves):
    folder = leaves.root / "pictures/leaves"
    for name in ("ash", "oak"):
        (folder / "train").mkdir(exist_ok=True)
        (folder / name).rename(folder / "train" / name)
    write_pictures(folder / "test", {"ash": 5, "oak": 5}, first=35)  # five of ash, five of oak
    description = run(leaves, LEAVES.model_copy(update={"contradictions": "skip"}))
    assert [description["splits"][split]["images"] for split in SPLITS] == [59, 11, 10]
    assert description["found"]["contradictions"] == 20


def test_what_is_no_file_or_too_large_is_left_out(leaves):
    folder = leaves.root / "pictures/leaves"
    os.mkfifo(folder / "oak/pipe.png")
    with (folder / "oak/large.png").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    assert run(leaves, LEAVES)["found"]["broken"] == 2
    skipped = (leaves.prepared / "skipped.csv").read_text()
    assert 'oak/pipe.png,oak,"broken: it is a pipe' in skipped
    assert "oak/large.png,oak,broken: the file is too large" in skipped


def test_a_message_about_an_archive_names_it(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.raw.mkdir(parents=True)
    with zipfile.ZipFile(workspace.raw / "leaves.zip", "w") as content:
        content.writestr("leaves/readme.txt", "empty")
    dataset = LEAVES.model_copy(update={"folder": None, "files": {"leaves.zip": "0" * 64}})
    with pytest.raises(UserError, match=r"^leaves.zip has no picture of leaves, but leaves/readme.txt"):
        run(workspace, dataset)
