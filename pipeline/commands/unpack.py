"""Write the built-in data set that params.yaml names as a folder of pictures, to which own pictures can be added.

`python -m pipeline.commands.unpack NAME`, where NAME is the name of the new data set.
"""

import json
from pathlib import Path

from PIL import Image

from pipeline.cli import UserError, run
from pipeline.config.dataset import PICTURES
from pipeline.config.params import Params, load
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

    Raise UserError if the data set isn't in IDX files, or if the folder exists already.
    """
    params, folder = load(workspace.params), f"{PICTURES}/{name}"
    if params.data.form != "idx":
        raise UserError(f"{params.dataset} is no built-in data set: its pictures are files already")
    if name in ("", ".", "..") or "/" in name or (workspace.root / folder).exists():
        raise UserError(
            f"{folder} exists already, or {name!r} can't be a folder's name: choose another name, such as "
            f"my-{params.dataset}"
        )
    images = read_idx_images(workspace.raw, params.data)
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
