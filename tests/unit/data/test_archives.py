import io
import tarfile
import zipfile
from pathlib import Path

import pyarrow
import pytest

from pipeline.cli import UserError
from pipeline.config.dataset import ARCHIVES
from pipeline.data.archives import gather_files, unpack

NAME = "train/ä b/1.png"


def write_tar(path: Path, packing: str = "", name: str = NAME) -> None:
    """Write a tar file with one member."""
    with tarfile.open(path, f"w:{packing}") as tar:
        member = tarfile.TarInfo(name)
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))


def write_archive(path: Path) -> None:
    """Write an archive with one member, in the form that its name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as content:
            content.writestr(NAME, b"abc")
    elif path.suffix == ".zst":
        write_tar(path.with_suffix(""))
        with pyarrow.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write(path.with_suffix("").read_bytes())
    else:
        write_tar(path, {".tgz": "gz", ".tar": ""}.get(path.suffix, path.suffix[1:]))


@pytest.mark.parametrize("ending", [*ARCHIVES, ".TAR.GZ"])
def test_an_archive_is_unpacked(tmp_path, ending):
    archive = tmp_path / f"leaves{ending.lower()}"
    write_archive(archive)
    archive = archive.rename(tmp_path / f"leaves{ending}")
    unpack(archive, tmp_path / "new")
    assert (tmp_path / "new" / NAME).read_bytes() == b"abc"


@pytest.mark.parametrize("ending", ARCHIVES)
@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 20], lambda data: b"<html>" * 200, lambda data: b""]
)
def test_a_damaged_archive_is_named(tmp_path, ending, damage):
    archive = tmp_path / f"leaves{ending}"
    write_archive(archive)
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(UserError, match=rf"leaves{ending} can't be unpacked \(.+\): get the whole archive"):
        unpack(archive, tmp_path / "new")


def test_nothing_is_written_outside(tmp_path):
    write_tar(tmp_path / "a.tar", name="../outside.png")
    (tmp_path / "new").mkdir()
    with pytest.raises(UserError, match=r"a.tar would write outside its folder, so it isn't unpacked"):
        unpack(tmp_path / "a.tar", tmp_path / "new")
    assert not (tmp_path / "outside.png").exists()


def test_several_files_come_into_one_folder(tmp_path):
    write_archive(tmp_path / "a.zip")
    (tmp_path / "labels.csv").write_text("path,label\n")
    gather_files([tmp_path / "a.zip", tmp_path / "labels.csv"], tmp_path / "new")
    assert (tmp_path / "new/labels.csv").read_text() == "path,label\n"
    assert (tmp_path / "new" / NAME).exists()


def write_zip(path: Path, **content: str) -> Path:
    """Write a zip with text files, and two folders in it."""
    with zipfile.ZipFile(path, "w") as archive:
        for folder in ("oak/", "ash/"):
            archive.mkdir(folder)
        for name, text in content.items():
            archive.writestr(name, text)
    return path


def test_archives_share_folders_and_equal_and_hidden_files(tmp_path):
    same = {"oak/LICENSE": "MIT", "LICENSE": "MIT"}
    parts = [
        write_zip(tmp_path / "a.zip", **same, **{"oak/1.png": "one", "ash/.DS_Store": "mine"}),
        write_zip(tmp_path / "b.zip", **same, **{"oak/2.png": "two", "ash/.DS_Store": "yours"}),
    ]
    gather_files(parts, tmp_path / "new")
    found = [path.relative_to(tmp_path / "new").as_posix() for path in (tmp_path / "new").rglob("*") if path.is_file()]
    assert sorted(found) == ["LICENSE", "ash/.DS_Store", "oak/1.png", "oak/2.png", "oak/LICENSE"]
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "b.zip", "new"}


@pytest.mark.parametrize("second", [{"oak/1.png": "another"}, {"labels.csv": "another"}, {"oak/1.png/2.png": "deeper"}])
@pytest.mark.parametrize("turn", [1, -1])
def test_two_files_of_one_name_are_an_error_and_none_is_overwritten(tmp_path, second, turn):
    (tmp_path / "labels.csv").write_text("path,label\n")
    first = write_zip(tmp_path / "a.zip", **{"oak/1.png": "one"})
    files = [tmp_path / "labels.csv", first, write_zip(tmp_path / "b.zip", **second)][::turn]
    with pytest.raises(UserError, match=r"has (oak/1\.png|labels\.csv), and so has another"):
        gather_files(files, tmp_path / "new")
    assert (tmp_path / "labels.csv").read_text() == "path,label\n"
