"""Pictures that people have labelled are added to the data set, but only once."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from pipeline import preprocess
from pipeline.cli import UserError
from pipeline.commands import add_pictures, unpack
from pipeline.config.catalogue import CATALOGUE
from pipeline.paths import Workspace
from tests.helpers.datasets import publish_files, random_raw_files, write_pictures, write_raw_files
from tests.helpers.params import PARAMS

LEAVES = "dataset: leaves\ndatasets:\n  leaves: {folder: pictures/leaves, height: 28, width: 28}"


@pytest.fixture
def leaves(tmp_path) -> Workspace:
    """A project with pictures of two leaves."""
    (tmp_path / "params.yaml").write_text(PARAMS.replace("dataset: mnist", LEAVES))
    (tmp_path / "data/raw").mkdir(parents=True)
    write_pictures(tmp_path / "pictures/leaves", {"ash": 9, "T-shirt": 9})
    return Workspace(tmp_path)


@pytest.fixture
def checked(tmp_path) -> Path:
    """Three pictures that somebody has labelled."""
    write_pictures(tmp_path / "checked", {"ash": 2, "T-shirt": 1}, first=100)
    return tmp_path / "checked"


def count(workspace: Workspace) -> int:
    preprocess.main(workspace)
    splits = json.loads(workspace.dataset.read_text())["splits"].values()
    return sum(split["images"] for split in splits)


def test_pictures_are_added_once_and_the_next_run_has_them(leaves, checked, capsys):
    assert count(leaves) == 18
    add_pictures.main(str(checked), leaves)
    assert "3 pictures added to leaves, 0 were already there" in capsys.readouterr().out
    assert count(leaves) == 21
    assert len(list((leaves.root / "pictures/leaves/ash").iterdir())) == 11
    add_pictures.main(str(checked), leaves)
    assert "0 pictures added to leaves, 3 were already there" in capsys.readouterr().out
    assert count(leaves) == 21


def test_of_a_data_set_with_a_test_set_they_are_added_to_what_trains(leaves, checked):
    top = leaves.root / "pictures/leaves"
    for split in ("Train", "test"):
        write_pictures(top / split, {"ash": 3, "T-shirt": 3})
    for name in ("ash", "T-shirt"):
        for path in (top / name).iterdir():
            path.unlink()
        (top / name).rmdir()
    add_pictures.main(str(checked), leaves)
    assert (len(list((top / "Train/ash").iterdir())), len(list((top / "test/ash").iterdir()))) == (5, 3)


def test_a_class_that_the_app_wrote_as_no_folder_may_be_called_is_the_class(leaves, checked):
    (checked / "ash").rename(checked / "%61sh")
    add_pictures.main(str(checked), leaves)
    assert len(list((leaves.root / "pictures/leaves/ash").iterdir())) == 11


def test_a_picture_keeps_its_group(leaves, checked):
    parameters = leaves.params.read_text().replace("width: 28}", "width: 28, group_separator: _}")
    leaves.params.write_text(parameters)
    for path in (checked / "ash").iterdir():
        path.rename(path.with_name(f"anna_{path.name}"))
    add_pictures.main(str(checked), leaves)
    new = {path.name for path in (leaves.root / "pictures/leaves").rglob("*.png") if len(path.name) > 8}
    assert sorted(name.startswith("anna_") for name in new) == [False, True, True]


def test_a_class_that_the_data_set_lacks_stops_it_before_anything_is_copied(leaves, checked):
    write_pictures(checked, {"oak": 1})
    with pytest.raises(UserError, match=r"no class of leaves: oak. The classes are T-shirt, ash; to add a class"):
        add_pictures.main(str(checked), leaves)
    assert count(leaves) == 18


def test_pictures_without_a_class_and_no_pictures_are_refused(leaves, checked, tmp_path):
    with pytest.raises(UserError, match="is no folder"):
        add_pictures.main(str(tmp_path / "nowhere"), leaves)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="should have a folder per class"):
        add_pictures.main(str(tmp_path / "empty"), leaves)
    next((checked / "ash").iterdir()).rename(checked / "stray.png")
    with pytest.raises(UserError, match="should have a folder per class"):
        add_pictures.main(str(checked), leaves)


@pytest.fixture
def published(tmp_path, monkeypatch) -> Workspace:
    """A project with a built-in data set of 200 + 50 random images, which is downloaded."""
    workspace = Workspace(tmp_path)
    write_raw_files(workspace.raw, random_raw_files(200, 50))
    sums = {path.name: sha256(path.read_bytes()).hexdigest() for path in workspace.raw.iterdir()}
    own = {"class_names": CATALOGUE["kmnist"].class_names, "resize": CATALOGUE["kmnist"].resize}
    monkeypatch.setitem(CATALOGUE, "kmnist", publish_files((), sums).model_copy(update=own))
    parameters = PARAMS.replace("validation_images: 5000", "validation_images: 40")
    workspace.params.write_text(parameters.replace("dataset: mnist", "dataset: kmnist"))
    return workspace


@pytest.mark.slow
def test_a_published_data_set_becomes_pictures_that_own_ones_are_added_to(published, checked, capsys):
    with pytest.raises(
        UserError, match=r"with a folder per class, which kmnist is not.*pipeline\.commands\.unpack NAME"
    ):
        add_pictures.main(str(checked), published)
    preprocess.main(published)
    before = np.load(published.prepared / "test/images.npy")
    unpack.main("my-kmnist", published)
    _, _, section = capsys.readouterr().out.partition("write `dataset: my-kmnist`, and under `datasets:`\n")
    written = published.params.read_text().replace("dataset: kmnist", f"dataset: my-kmnist\ndatasets:{section}")
    published.params.write_text(written)
    write_pictures(published.root / "mine", {"や": 2}, size=(28, 28))
    add_pictures.main(str(published.root / "mine"), published)
    preprocess.main(published)
    description = json.loads(published.dataset.read_text())
    counts = {name: split["images"] for name, split in description["splits"].items()}
    assert (counts["train"] + counts["val"], counts["test"]) == (202, 50)
    after = np.load(published.prepared / "test/images.npy")
    assert sorted(image.tobytes() for image in after) == sorted(image.tobytes() for image in before)


def test_a_folder_that_is_there_is_not_overwritten(published):
    write_pictures(published.root / "pictures/leaves", {"ash": 1})
    with pytest.raises(UserError, match="pictures/leaves exists already"):
        unpack.main("leaves", published)


@pytest.mark.parametrize("name", ["", "..", "my/set", "My-KMNIST", "mnist"])
def test_a_name_that_no_own_data_set_may_have_is_refused(published, name):
    with pytest.raises(UserError, match=r"can't be the name of a data set of yours.*such as my-kmnist"):
        unpack.main(name, published)
    assert not (published.root / "pictures").exists()


def test_the_files_of_another_data_set_are_not_written_under_this_ones_classes(published):
    published.params.write_text(published.params.read_text().replace("dataset: kmnist", "dataset: fashion-mnist"))
    with pytest.raises(UserError, match=r"published files of fashion-mnist: run `dvc repro download`"):
        unpack.main("mine", published)
    assert not (published.root / "pictures/mine").exists()


@pytest.mark.slow
def test_scikit_learns_digits_need_no_download(published):
    published.params.write_text(published.params.read_text().replace("dataset: kmnist", "dataset: digits"))
    unpack.main("mine", published)
    assert len(list((published.root / "pictures/mine").rglob("*.png"))) == 1797
