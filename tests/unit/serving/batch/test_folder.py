"""All files in a folder, also behind links, must be images; otherwise an error says which files are not."""

import os
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving.batch import pictures
from serving.batch.folder import Folder
from serving.batch.source import SourceError
from serving.images import INK


def with_image(path: Path, ink: int = 200) -> Path:
    """Write an image with a stroke; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, 13:16] = ink
    Image.fromarray(pixels).save(path)
    return path


def test_images_behind_links_are_found(tmp_path):
    with_image(tmp_path / "elsewhere/below/a.png")
    image = with_image(tmp_path / "elsewhere/b.png")
    with_image(tmp_path / "in/c.png")
    (tmp_path / "in/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/d.png").symlink_to(image)
    assert Folder(tmp_path / "in", INK, 1000).files == ["c.png", "d.png", "linked/b.png", "linked/below/a.png"]


def test_a_link_to_a_folder_that_it_lies_in_is_refused(tmp_path):
    with_image(tmp_path / "in/below/a.png")
    (tmp_path / "in/below/up").symlink_to(tmp_path / "in")
    with pytest.raises(SourceError, match=r"below/up is a link to a folder that it lies in: remove"):
        Folder(tmp_path / "in", INK, 1000)


def test_a_link_that_leads_nowhere_may_lead_to_a_folder_of_images(tmp_path):
    with_image(tmp_path / "in/a.png")
    (tmp_path / "in/disk").symlink_to(tmp_path / "not mounted")
    with pytest.raises(SourceError, match=r"in/disk can't be read \(No such file"):
        Folder(tmp_path / "in", INK, 1000)


def test_a_folder_below_that_cant_be_read_is_an_error(tmp_path, monkeypatch):
    with_image(tmp_path / "in/a.png")
    with_image(tmp_path / "in/private/b.png")
    scandir = os.scandir

    def refuse(folder: str):  # as the system does, but for root, too
        if folder.endswith("private"):
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(SourceError, match=r"in/private can't be read \(Permission denied\), and may hold images"):
        Folder(tmp_path / "in", INK, 1000)


def test_what_is_no_file_is_an_image_that_cant_be_read(tmp_path, monkeypatch):
    with_image(tmp_path / "in/a.png")
    os.mkfifo(tmp_path / "in/b.png")
    monkeypatch.chdir(tmp_path / "in")  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("c.png")
        (tmp_path / "in/d.png").symlink_to("/dev/zero")
        ((_, faults),) = Folder(tmp_path / "in", INK, 1000).chunks(0)
    assert faults[0] is None
    assert faults[1:] == ["it is a pipe, a socket or a device: an image file is expected"] * 3


def change_content(folder: Path) -> None:
    with_image(folder / "a.png", ink=255)


def replace_with_the_same_size_and_time(folder: Path) -> None:
    old, other = (folder / "a.png").stat(), folder / "other"
    other.write_bytes(bytes(old.st_size))
    os.utime(other, ns=(0, old.st_mtime_ns))
    other.replace(folder / "a.png")


def change_what_a_link_leads_to(folder: Path) -> None:
    with_image(folder.parent / "target.png", ink=255)


def lead_a_link_elsewhere(folder: Path) -> None:
    (folder / "link.png").unlink()
    (folder / "link.png").symlink_to(folder / "a.png")


def remove_what_a_link_leads_to(folder: Path) -> None:
    (folder.parent / "target.png").unlink()


def add_an_image(folder: Path) -> None:
    with_image(folder / "linked/new.png")


CHANGES = (
    change_content,
    replace_with_the_same_size_and_time,
    change_what_a_link_leads_to,
    lead_a_link_elsewhere,
    remove_what_a_link_leads_to,
    add_an_image,
)


@pytest.mark.parametrize("change", CHANGES)
def test_a_folder_in_which_a_file_changed_is_another_input(change, tmp_path):
    folder = tmp_path / "in"
    with_image(folder / "a.png")
    (folder / "link.png").symlink_to(with_image(tmp_path / "target.png"))
    (tmp_path / "elsewhere").mkdir()
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    source = Folder(folder, INK, 1000)
    source.check_unchanged()
    assert Folder(folder, INK, 1000).identity == source.identity
    change(folder)
    assert Folder(folder, INK, 1000).identity != source.identity
    with pytest.raises(SourceError, match="changed while it was scored"):
        source.check_unchanged()


def test_files_that_are_passed_over_are_counted_by_their_endings(tmp_path):
    with_image(tmp_path / "a.PNG")
    (tmp_path / "below").mkdir()
    for name in ("b.svg", "c.SVG", "below/d.heic", "README"):
        (tmp_path / name).touch()
    assert Folder(tmp_path, INK, 1000).note == (
        "passed over: 4 files that aren't .png, .jpg, .jpeg, .webp, .bmp, .gif, .tif or .tiff: "
        "2 .svg, 1 .heic, 1 without an ending"
    )


def test_a_folder_of_images_alone_passes_nothing_over(tmp_path):
    with_image(tmp_path / "a.png")
    assert Folder(tmp_path, INK, 1000).note == ""


def test_more_processors_take_no_more_memory(tmp_path, monkeypatch):
    for number in range(40):
        with_image(tmp_path / f"{number}.png")
    threads = set()
    prepare = pictures.prepare
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(pictures, "prepare", lambda *given: (threads.add(threading.get_ident()), prepare(*given))[1])
    list(Folder(tmp_path, INK, 1000).chunks(0))
    assert 1 <= len(threads) <= 4
