import shutil
from pathlib import Path
from unicodedata import normalize

import pytest

from pipeline.cli import UserError
from pipeline.config.dataset import Dataset
from pipeline.data.pictures import find_group, list_folders, name_some
from tests.helpers.datasets import write_pictures

LEAVES = Dataset(folder="pictures/leaves", height=8, width=8)


def place(folder: Path, **section: object) -> list[tuple[str, str, bool]]:
    return [
        (picture.path, picture.label, picture.is_test)
        for picture in list_folders(folder, LEAVES.model_copy(update=section)).pictures
    ]


def test_a_folder_is_a_class_and_the_order_that_of_the_paths(tmp_path):
    write_pictures(tmp_path, {"oak": 1, "an ash": 2, "oak/2026": 1})
    assert place(tmp_path) == [
        ("an ash/0.png", "an ash", False),
        ("an ash/1.png", "an ash", False),
        ("oak/0.png", "oak", False),
        ("oak/2026/0.png", "oak", False),
    ]
    listing = list_folders(tmp_path, LEAVES)
    assert listing.class_names == ("an ash", "oak")
    assert [str(path.relative_to(tmp_path)) for path in listing.read()] == [path for path, _, _ in place(tmp_path)]


@pytest.mark.parametrize("top", ["", "leaves-2026/", "leaves-2026/images/"])
def test_train_and_test_are_found_in_an_archive_below_a_folder_of_their_own_too(tmp_path, top):
    write_pictures(tmp_path, {f"{top}Train/oak": 1, f"{top}Train/ash": 1, f"{top}test/oak": 1})
    section = {"files": {"leaves.zip": "0" * 64}} if top else {}
    assert [(label, is_test) for _, label, is_test in place(tmp_path, **section)] == [
        ("ash", False), ("oak", False), ("oak", True),
    ]  # fmt: skip


def test_a_class_is_the_same_however_its_umlaut_is_stored(tmp_path):
    write_pictures(tmp_path, {f"train/{normalize('NFC', 'Äpfel')}": 1, "train/oak": 1})
    write_pictures(tmp_path, {f"test/{normalize('NFD', 'Äpfel')}": 1, "test/oak": 1})
    listing = list_folders(tmp_path, LEAVES)
    assert listing.class_names == ("oak", normalize("NFC", "Äpfel"))
    assert all(path.exists() for path in listing.read())


def test_what_other_programs_leave_is_passed_over(tmp_path):
    write_pictures(tmp_path, {"oak": 2, "ash": 2, "__MACOSX": 1, ".thumbnails": 1})
    for name in ("oak/.hidden.png", "oak/Thumbs.db", "oak/notes.txt", "README.md", "cover.png"):
        (tmp_path / name).touch()
    assert len(place(tmp_path)) == 4
    assert list_folders(tmp_path, LEAVES).strays == ["README.md", "cover.png", "oak/Thumbs.db", "oak/notes.txt"]


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "webp", "bmp", "gif", "tif", "TIFF"])
def test_pictures_are_known_by_their_names(tmp_path, suffix):
    write_pictures(tmp_path, {"oak": 1, "ash": 1})
    shutil.move(tmp_path / "oak/0.png", tmp_path / f"oak/0.{suffix}")
    assert [path for path, _, _ in place(tmp_path)] == ["ash/0.png", f"oak/0.{suffix}"]


def test_an_empty_class_of_a_split_is_named(tmp_path):
    write_pictures(tmp_path, {"train/oak": 1, "train/ash": 1, "test/oak": 1})
    (tmp_path / "test/ash").mkdir()
    with pytest.raises(UserError, match="test has no picture of ash"):
        list_folders(tmp_path, LEAVES)


def test_what_stands_before_a_separator_is_the_group(tmp_path):
    write_pictures(tmp_path, {"a_b": 1, "c": 1})
    (tmp_path / "c/0.png").rename(tmp_path / "c/anna_0_1.png")
    listing = list_folders(tmp_path, LEAVES.model_copy(update={"group_separator": "_"}))
    assert [picture.group for picture in listing.pictures] == ["", "anna"]
    assert find_group("c/anna_0.png", None) == ""


def test_of_many_names_the_first_are_given():
    assert name_some(["a", "b"]) == "a, b"
    assert name_some(list("abcdefgh")) == "a, b, c, d, e and 3 more"
