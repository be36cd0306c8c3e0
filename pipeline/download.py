"""Bring the published files of a data set, checked against their pinned sha256, into data/raw/."""

from pipeline.cli import run
from pipeline.config.catalogue import WRITERS, find_dataset
from pipeline.config.params import load
from pipeline.data.digits import write_digits
from pipeline.data.fetch import fetch
from pipeline.files import publish
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
            fetch(name, dataset, tuple(dataset.files), folder)
        if params.writers:
            tables = WRITERS[name]
            fetch(tables.name, tables, tuple(tables.files), folder, without=WITHOUT_WRITERS)
    if dataset.folder is not None:
        print(f"{name}: the pictures of {dataset.folder}; nothing to download")
    else:
        print(f"{name}: {len(list(workspace.raw.iterdir()))} files in {workspace.raw}, as published")


if __name__ == "__main__":
    run(main)
