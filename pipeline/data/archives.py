"""Unpack the published files of a data set into a scratch folder."""

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Literal

from pipeline.cli import UserError, first_line
from pipeline.config.dataset import is_archive

# The errors of a damaged archive; zipfile raises RuntimeError for one that needs a password.
DAMAGE = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, RuntimeError)


def gather_files(files: Iterable[Path], folder: Path) -> None:
    """Put files into the new folder `folder`: unpack archives, and link all other files."""
    folder.mkdir()
    for file in files:
        if is_archive(file.name):
            unpack(file, folder)
        else:
            (folder / file.name).symlink_to(file.resolve())


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
