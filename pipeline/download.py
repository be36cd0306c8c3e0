"""Bring the published files of a data set, checked against their pinned sha256, into data/raw/."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.cli import run
from pipeline.config.catalogue import WRITERS, WriterTables, find_dataset
from pipeline.config.dataset import Dataset
from pipeline.config.params import load
from pipeline.data.digits import write_digits
from pipeline.data.dvc_cache import find_outputs
from pipeline.data.fetch import OTHER_DATA, fetch
from pipeline.files import publish, sha256_of
from pipeline.guard import StageGuard
from pipeline.paths import Workspace

WITHOUT_WRITERS = "do without the tables of writers: `writers: false` in params.yaml"


def main(workspace: Workspace = Workspace()) -> None:
    """Download the data set of params.yaml, write scikit-learn's digits, or record the folder of own pictures."""
    guard = StageGuard("download", workspace)
    params = load(workspace.params)
    name, dataset = params.dataset, find_dataset(params.dataset, params.datasets)
    with publish(workspace.raw, guard.check) as folder:
        if dataset.folder is not None:
            (folder / "folder.txt").write_text(f"{dataset.folder}\n")
        elif dataset.package is not None:
            write_digits(folder)
        else:
            cached = find_outputs(workspace.root, "download")
            bring(name, dataset, folder, cached, OTHER_DATA)
            if params.writers:
                tables = WRITERS[name]
                bring(tables.name, tables, folder, cached, WITHOUT_WRITERS)
    if dataset.folder is not None:
        print(f"{name}: the pictures of {dataset.folder}; nothing to download")
    else:
        print(f"{name}: {len(list(workspace.raw.iterdir()))} files in {workspace.raw}, as published")


def bring(
    name: str, dataset: Dataset | WriterTables, folder: Path, cached: Sequence[tuple[str, Path]], without: str
) -> None:
    """Write the published files into `folder`: from DVC's cache if an earlier download is there, else from a mirror.

    DVC runs this stage again after any change of `datasets`, also of a section or a key that has nothing to do with
    the files; that should neither need the network nor transfer them again. Raise UserError as `fetch` does.
    """
    for file, path in cached:
        target = folder / file
        if file in dataset.files and not target.exists() and sha256_of(path) == dataset.files[file]:
            shutil.copyfile(path, target)
    if missing := [file for file in dataset.files if not (folder / file).exists()]:
        fetch(name, dataset, missing, folder, without=without)


if __name__ == "__main__":
    run(main)
