"""Write the built-in data set that params.yaml names as a folder of pictures, to which own pictures can be added.

`python -m pipeline.commands.unpack NAME`, where NAME is the name of the new data set.
"""

import json
import re
import tempfile
from pathlib import Path

from PIL import Image

from pipeline.cli import UserError, run
from pipeline.config.catalogue import CATALOGUE
from pipeline.config.dataset import DATASET_NAME, PICTURES
from pipeline.config.params import Params, load
from pipeline.data.digits import write_digits
from pipeline.data.fetch import is_downloaded
from pipeline.data.images import Images, read_idx_images
from pipeline.data.pictures import SPLITS
from pipeline.files import publish
from pipeline.paths import Workspace

BLOCK = """\
  {name}:
    folder: {folder}
    height: {height}
    width: {width}
    color_mode: grayscale
    resize: {resize}
    class_names: {class_names}
    duplicates: keep
    contradictions: keep
"""


def main(name: str, workspace: Workspace = Workspace()) -> None:
    """Write the pictures, and print the section of params.yaml that describes them.

    Raise UserError if the data set isn't built in or isn't downloaded, if the name can't be that of an own data set,
    or if the folder exists already.
    """
    params, folder = load(workspace.params), f"{PICTURES}/{name}"
    if params.dataset not in CATALOGUE:
        raise UserError(f"{params.dataset} is no built-in data set: it is in a folder of yours, or in files, already")
    if not re.fullmatch(DATASET_NAME, name) or name in CATALOGUE:
        raise UserError(
            f"{name!r} can't be the name of a data set of yours: write one of a-z, 0-9, - and _ that isn't built in, "
            f"such as my-{params.dataset}"
        )
    if (workspace.root / folder).exists():
        raise UserError(f"{folder} exists already: choose another name, such as my-{params.dataset}")
    with tempfile.TemporaryDirectory() as scratch:
        raw = workspace.raw
        if params.data.package is not None:
            raw = Path(scratch)
            write_digits(raw)
        elif not is_downloaded(params.data, raw):  # all built-in data sets have files of the same names
            raise UserError(f"{raw} doesn't hold the published files of {params.dataset}: run `dvc repro download`")
        images = read_idx_images(raw, params.data)
        with publish(workspace.root / folder) as part:
            write_pictures(part, images)
    print(
        f"{len(images.labels)} pictures in {folder}. In params.yaml, write `dataset: {name}`, and under `datasets:`\n"
    )
    print(describe(name, folder, params, images))


def write_pictures(folder: Path, images: Images) -> None:
    """Write each image as PNG into train/ or test/ and the folder of its class, by its place in the published file."""
    splits, classes = [SPLITS[is_test] for is_test in images.is_test.astype(int)], [*map(as_folder, images.class_names)]
    for split in SPLITS:
        for name in classes:
            (folder / split / name).mkdir(parents=True)
    assert images.rows is not None  # IDX images have places
    place = 0
    for chunk in images.chunks():
        for pixels in chunk:
            name = f"{images.rows[place]:05}.png"
            Image.fromarray(pixels).save(folder / splits[place] / classes[images.labels[place]] / name)
            place += 1


def describe(name: str, folder: str, params: Params, images: Images) -> str:
    """Return the new data set's section for params.yaml."""
    names = json.dumps([as_folder(each) for each in images.class_names], ensure_ascii=False)
    data = params.data
    return BLOCK.format(
        name=name, folder=folder, height=data.height, width=data.width, resize=data.resize, class_names=names
    )


def as_folder(class_name: str) -> str:
    """Return a class's name as one that a folder may have: T-shirt-top for T-shirt/top."""
    return class_name.replace("/", "-")


if __name__ == "__main__":
    run(main, "name")
