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
