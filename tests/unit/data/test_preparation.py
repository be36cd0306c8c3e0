from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import UserError
from pipeline.data.preparation import prepare, summarise, write_splits
from tests.helpers.datasets import random_raw_files, write_raw_files

CHUNK = 64  # so that 600 images are several chunks


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder with 600 + 100 random images and their labels."""
    write_raw_files(tmp_path / "raw", random_raw_files())
    return tmp_path / "raw"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "prepared").mkdir()
    return tmp_path / "prepared"


def read(folder: Path, split: str, part: str) -> np.ndarray:
    return np.load(folder / split / f"{part}.npy")


def test_every_image_is_once_in_a_split_with_its_own_label(raw, folder):
    contents = random_raw_files()
    prepare(raw, folder, "some", 60, 0, CHUNK)
    for name, splits in (("train", ("train", "val")), ("t10k", ("test",))):
        places = np.concatenate([read(folder, split, "index") for split in splits])
        assert sorted(places) == list(range(len(contents[f"{name}-images-idx3-ubyte"])))
        for split in splits:
            pixels = contents[f"{name}-images-idx3-ubyte"][read(folder, split, "index")]
            labels = contents[f"{name}-labels-idx1-ubyte"][read(folder, split, "index")]
            np.testing.assert_array_equal(read(folder, split, "images"), pixels[..., None])
            np.testing.assert_array_equal(read(folder, split, "labels"), labels)
            dtypes = [read(folder, split, part).dtype for part in ("images", "labels", "index")]
            assert dtypes == [np.uint8, np.uint16, np.int64]


def test_the_chunks_do_not_change_what_is_written(raw, folder, tmp_path):
    prepare(raw, folder, "some", 60, 0, CHUNK)
    (tmp_path / "other").mkdir()
    prepare(raw, tmp_path / "other", "some", 60, 0)
    for path in folder.rglob("*.npy"):
        assert path.read_bytes() == (tmp_path / "other" / path.relative_to(folder)).read_bytes()


def test_the_description_says_what_was_written(raw, folder):
    contents = random_raw_files()
    train, test = contents["train-images-idx3-ubyte"], contents["t10k-images-idx3-ubyte"]
    train[[5, 17, 300]] = test[[1, 2, 2]]
    write_raw_files(raw, contents)
    description = prepare(raw, folder, "some", 60, 3, CHUNK)
    assert list(description) == [
        "name", "classes", "class_names", "image_shape", "resize", "scale", "seed", "splits",
        "training_images_also_in_test", "sources_sha256", "files_sha256",
    ]  # fmt: skip
    assert description["training_images_also_in_test"] == 3
    assert (description["name"], description["classes"], description["seed"]) == ("some", 10, 3)
    assert description["image_shape"] == [28, 28, 1]
    assert {name: split["images"] for name, split in description["splits"].items()} == {
        "train": 540, "val": 60, "test": 100,
    }  # fmt: skip
    assert set(description["sources_sha256"]) == set(contents)
    assert set(description["files_sha256"]) == {
        f"{split}/{part}.npy" for split in ("train", "val", "test") for part in ("images", "labels", "index")
    }


def test_a_split_is_summarised(raw, folder):
    pixels = random_raw_files()["t10k-images-idx3-ubyte"]
    prepare(raw, folder, "some", 60, 0)
    summary = summarise(folder / "test", classes=10, chunk=30)
    assert summary == {
        "images": 100,
        "per_class": [10] * 10,
        "mean": pytest.approx(pixels.mean() / 255, abs=1e-6),
        "deviation": pytest.approx(pixels.std() / 255, abs=1e-6),
    }
    assert len(str(summary["mean"])) <= 8  # six digits


@pytest.mark.parametrize("images", [599, 601, 512, 700])
def test_images_without_labels_and_labels_without_images_are_refused(raw, folder, images):
    write_raw_files(raw, {"train-images-idx3-ubyte": np.full((images, 28, 28), 200, np.uint8)})
    with pytest.raises(UserError, match=r"train: images and labels .* differ in number, 600 labels"):
        prepare(raw, folder, "some", 60, 0, CHUNK)


@pytest.mark.parametrize(("brightest", "refused"), [(1, True), (127, True), (128, False)])
def test_images_that_are_scaled_already_are_refused(raw, folder, brightest, refused):
    labels = random_raw_files()["t10k-labels-idx1-ubyte"]
    images = np.zeros((100, 28, 28), np.uint8)
    images[20] = brightest  # not in the last chunk
    write_raw_files(raw, {"t10k-images-idx3-ubyte": images})
    masks = {"test": np.ones(100, bool)}
    if refused:
        with pytest.raises(UserError, match=f"t10k: the brightest pixel is {brightest}"):
            write_splits(raw, folder, "t10k", labels, masks, CHUNK)
    else:
        write_splits(raw, folder, "t10k", labels, masks, CHUNK)


def test_equal_images_have_equal_hashes(raw, folder):
    contents = random_raw_files()
    contents["t10k-images-idx3-ubyte"][70] = contents["t10k-images-idx3-ubyte"][3]
    write_raw_files(raw, contents)
    labels = contents["t10k-labels-idx1-ubyte"]
    hashes = write_splits(raw, folder, "t10k", labels, {"test": np.ones(100, bool)}, CHUNK)
    assert (hashes.dtype, len(hashes), len(set(hashes.tolist()))) == (np.uint64, 100, 99)
    assert hashes[70] == hashes[3]
