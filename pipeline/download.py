"""Bring the published files of a data set, checked against their pinned sha256, into data/raw/."""

from pipeline.cli import run
from pipeline.config.params import load
from pipeline.data.catalogue import CATALOGUE, require_catalogued
from pipeline.data.digits import write_digits
from pipeline.data.fetch import fetch
from pipeline.files import publish
from pipeline.guard import StageGuard
from pipeline.paths import Workspace


def main(workspace: Workspace = Workspace()) -> None:
    """Download the data set of params.yaml, or write it where it comes with scikit-learn."""
    guard = StageGuard("download", workspace)
    name = load(workspace.params).dataset
    require_catalogued(name)
    with publish(workspace.raw, guard.check) as folder:
        publication = CATALOGUE[name]
        if publication is None:
            write_digits(folder)
        else:
            fetch(name, publication, tuple(publication.sha256), folder)
    print(f"{name}: {len(list(workspace.raw.iterdir()))} files in {workspace.raw}, as published")


if __name__ == "__main__":
    run(main)
