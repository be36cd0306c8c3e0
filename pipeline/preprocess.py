"""Check, split and describe the images of the data set into data/prepared/: memory-mappable arrays and dataset.json."""

from pipeline.cli import run
from pipeline.config.catalogue import WRITERS, find_dataset
from pipeline.config.params import load
from pipeline.data.preparation import prepare
from pipeline.files import publish, write_json
from pipeline.guard import StageGuard
from pipeline.paths import Workspace


def main(workspace: Workspace = Workspace()) -> None:
    """Prepare the data set of params.yaml for training."""
    guard = StageGuard("preprocess", workspace)
    params = load(workspace.params)
    with publish(workspace.prepared, guard.check) as folder:
        dataset = find_dataset(params.dataset, params.datasets)
        writers = WRITERS[params.dataset] if params.writers else None
        description = prepare(
            workspace, folder, params.dataset, dataset, params.validation_images, params.seed, writers
        )
        write_json(folder / workspace.dataset.name, description)
    splits = ", ".join(f"{split['images']} {name}" for name, split in description["splits"].items())
    found = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in description["found"].items() if count)
    print(f"{params.dataset}: {splits}" + (f"; found {found}" if found else ""))


if __name__ == "__main__":
    run(main)
