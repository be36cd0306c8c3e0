"""Find the kind of source that an input is: a folder of images, .npy, IDX (also .gz) or Parquet."""

from pathlib import Path

from serving.batch.folder import Folder
from serving.batch.rows import Idx, Npy, Rows
from serving.batch.source import Source, SourceError
from serving.images import Form


def open_source(path: Path, form: Form, chunk_images: int) -> Source:
    """Open the images at a path as a source, `chunk_images` at a time; SourceError if they can't be read as `form`."""
    return find_kind(path)(path, form, chunk_images)


def find_kind(path: Path) -> type[Folder] | type[Rows]:
    """Return the class of source for a path's content, whatever its name is; SourceError if there is none."""
    if path.is_dir():
        return Folder
    if not path.exists():
        raise SourceError(f"{path} doesn't exist")
    if not path.is_file():  # opening a pipe would wait for its writer, and it can't be read twice
        raise SourceError(f"{path} is a pipe, a socket or a device: write its content to a file first")
    with path.open("rb") as file:
        start = file.read(6)
    from serving.batch.parquet import Parquet

    kinds: tuple[tuple[type[Rows], tuple[bytes, ...]], ...] = (
        (Npy, (b"\x93NUMPY",)),
        (Parquet, (b"PAR1",)),
        (Idx, (b"\x1f\x8b", b"\0\0")),
    )
    for kind, magics in kinds:
        if start.startswith(magics):
            return kind
    raise SourceError(
        f"{path} can't be scored: expected a folder of image files, or a file in the form .npy, Parquet or IDX "
        "(also .gz)"
    )
