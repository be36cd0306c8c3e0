"""Check, split and normalise data/raw/ into data/prepared/: memory-mappable arrays and dataset.json."""

from pipeline.cli import run
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
        description = prepare(workspace.raw, folder, params.dataset, params.validation_images, params.seed)
        write_json(folder / workspace.dataset.name, description)
    print(
        f"{params.dataset}: "
        + ", ".join(f"{split['images']} {name}" for name, split in description["splits"].items())
        + f"; {description['training_images_also_in_test']} training images are also in test"
    )


if __name__ == "__main__":
    run(main)
