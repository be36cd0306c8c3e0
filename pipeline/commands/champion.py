"""Print the address of the champion, models:/mnist@champion, for programs that serve it; fail if there is none."""

from pipeline.cli import UserError, run
from pipeline.files import read_json
from pipeline.paths import Workspace
from pipeline.tracking.registry import CHAMPION
from pipeline.tracking.store import connect_existing, translate_errors


def main(workspace: Workspace = Workspace()) -> None:
    """Print the address; raise UserError, with the command that helps, if there is no champion to serve."""
    name = read_registered_name(workspace)
    with translate_errors():
        if CHAMPION not in connect_existing(name).aliases():
            raise no_champion_error(name)
    print(f"models:/{name}@{CHAMPION}")


def read_registered_name(workspace: Workspace) -> str:
    """Return the name of the model that `register` registered last; raise UserError if it has not run."""
    path = workspace.registry / "registry.json"
    if not path.exists():  # in a fresh clone, whose environment with dvc isn't activated: so name make
        raise UserError(f"{path} is missing: run `make run`, which trains and registers the models")
    return str(read_json(path)["name"])


def no_champion_error(name: str) -> UserError:
    """Return the error for a data set without a champion."""
    return UserError(
        f"{name} has no champion: `make run` lets the gate decide, `make promote VERSION=…` makes a version champion, "
        "and `make ui` shows the gate's reasons for each version"
    )


if __name__ == "__main__":
    run(main)
