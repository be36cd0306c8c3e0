"""Unpack the published files of a data set into a scratch folder."""

import filecmp
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Literal

from pipeline.cli import UserError, first_line
from pipeline.config.dataset import is_archive

# The errors of a damaged archive; zipfile raises RuntimeError for one that needs a password.
DAMAGE = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, RuntimeError)


def gather_files(files: Sequence[Path], folder: Path) -> None:
    """Put files into the new folder `folder`: unpack archives, and link all other files.

    Raise UserError if two of them have different files of one name.
    """
    folder.mkdir()
    for file in files:
        # Unpacking into the folder would write over the files, and through the links, that are there.
        part = folder.with_name(f"{folder.name}.part") if len(files) > 1 else folder
        part.mkdir(exist_ok=True)
        if is_archive(file.name):
            unpack(file, part)
        else:
            (part / file.name).symlink_to(file.resolve())
        if part != folder:
            _move_into(folder, part, file)


def _move_into(folder: Path, part: Path, source: Path) -> None:
    """Move what is in `part`, which came from the file `source`, into `folder`, and remove `part`."""
    for root, folders, names in os.walk(part):
        own = folder / Path(root).relative_to(part)
        for name in [*folders, *names]:
            old, new = Path(root, name), own / name
            is_folder = name in folders and not old.is_symlink()
            if not os.path.lexists(new):
                new.mkdir() if is_folder else old.rename(new)
            elif is_folder != new.is_dir() or not (is_folder or name.startswith(".") or filecmp.cmp(old, new, False)):
                raise UserError(
                    f"{source.name} has {new.relative_to(folder)}, and so has another of the data set's files, with "
                    "other content: make archives without such names, for example with the pictures of each in a "
                    "folder of their own"
                )
    shutil.rmtree(part)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive into a folder; raise UserError if it is damaged, or would write outside the folder."""
    name = archive.name.lower()
    try:
        if name.endswith(".zip"):
            with zipfile.ZipFile(archive) as content:
                content.extractall(folder)
        elif name.endswith(".zst"):
            import pyarrow

            with pyarrow.CompressedInputStream(pyarrow.OSFile(str(archive)), "zstd") as stream:
                _extract_tar(stream, "r|", folder)
        else:
            with archive.open("rb") as stream:
                _extract_tar(stream, "r:*", folder)
    except tarfile.FilterError as error:
        raise UserError(
            f"{archive} would write outside its folder, so it isn't unpacked ({first_line(error)}): "
            "get or make an archive without such paths"
        ) from None
    except DAMAGE as error:
        raise _damage_error(archive, error) from None
    except OSError as error:
        if error.errno is not None:  # an error of this machine's disk, not of the archive
            raise
        raise _damage_error(archive, error) from None


def _extract_tar(stream: IO[bytes], mode: Literal["r|", "r:*"], folder: Path) -> None:
    with tarfile.open(fileobj=stream, mode=mode) as content:
        content.extractall(folder, filter="data")


def _damage_error(archive: Path, fault: Exception) -> UserError:
    return UserError(f"{archive} can't be unpacked ({first_line(fault)}): get the whole archive, without a password")
