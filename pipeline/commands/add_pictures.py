"""Add labelled pictures to the data set: `python -m pipeline.commands.add_pictures FOLDER`, with a folder per class.

They may be the app's samples, once a person has looked at each. The next `dvc repro` prepares and trains with them.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from pipeline.cli import UserError, run
from pipeline.config.params import Params, load
from pipeline.data.pictures import SPLITS, find_group, is_picture, list_subfolders, name_some, walk
from pipeline.files import sha256_of
from pipeline.paths import Workspace

SHORT = 16  # digits of the sha256 that a picture is named after


def main(folder: str, workspace: Workspace = Workspace()) -> None:
    """Copy the pictures of a folder into the data set's folders; print how many are new.

    Raise UserError if the data set isn't a folder per class, or if it lacks one of the classes; then copy nothing.
    """
    params = load(workspace.params)
    classes = find_classes(params, workspace)
    pictures = list(list_pictures(Path(folder)))
    if strange := sorted({label for _, label in pictures} - classes.keys()):
        raise UserError(
            f"{folder} has folders that are no class of {params.dataset}: {name_some(strange)}. The classes are "
            f"{name_some(sorted(classes))}; to add a class, first make a folder for it beside the folders of these"
        )
    added = sum(add(path, classes[label], params.data.group_separator) for path, label in pictures)
    print(
        f"{added} pictures added to {params.dataset}, {len(pictures) - added} were already there; "
        "`dvc repro` trains with them"
    )


def find_classes(params: Params, workspace: Workspace) -> dict[str, Path]:
    """Return the folder of each class's training pictures; raise UserError if the data set has no such folders."""
    if params.data.folder is None or params.data.form != "folders":
        raise UserError(
            f"pictures can only be added to a data set with a folder per class, which {params.dataset} is not; to make "
            "one from a built-in data set, run `python -m pipeline.commands.unpack NAME`"
        )
    top = workspace.root / params.data.folder
    if not top.is_dir():
        raise UserError(
            f"{top} doesn't exist: put the pictures of {params.dataset} there, in a folder per class, or correct "
            "the key folder of the data set"
        )
    split = next((name for name in list_subfolders(top) if name.lower() == SPLITS[0]), "")
    return {name: top / split / name for name in list_subfolders(top / split)}


def list_pictures(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each picture of a folder per class with its class; raise UserError if there are none."""
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; name one that has a folder per class, with pictures in it")
    found = [(path, place.split("/")) for path, place in walk(folder) if is_picture(place)]
    if not found or any(len(parts) == 1 for _, parts in found):
        raise UserError(f"{folder} should have a folder per class, and pictures only inside these folders")
    for path, parts in found:
        yield path, unquote(parts[0])  # the app percent-encodes what no folder's name may have


def add(picture: Path, folder: Path, separator: str | None) -> bool:
    """Copy a picture into a folder, under a name made of its group and content; return whether it wasn't there."""
    group = find_group(picture.name, separator)
    beginning = f"{group}{separator}" if group else ""  # so that the picture's group is the same under the new name
    target = folder / f"{beginning}{sha256_of(picture)[:SHORT]}{picture.suffix.lower()}"
    if target.exists():
        return False
    part = folder / f".{target.name}.part"
    shutil.copyfile(picture, part)
    os.replace(part, target)
    return True


if __name__ == "__main__":
    run(main, "folder")
