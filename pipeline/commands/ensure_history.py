"""For `make run`, before anything runs: restore the versions, decisions and champion that the journal records.

In a colleague's clone, after `dvc pull`, there is a journal but no MLflow store yet. Without a champion in the store,
the gate would have nothing to compare the next model with.
"""

from contextlib import suppress

from pipeline.cli import UserError, run
from pipeline.commands import rebuild
from pipeline.config.params import load
from pipeline.paths import Workspace
from pipeline.tracking.journal import read_events
from pipeline.tracking.location import store_file, store_label


def main(workspace: Workspace = Workspace()) -> None:
    """Rebuild MLflow's view if its file is missing and the journal has events of its store; else do nothing."""
    file = store_file()
    if file is None or file.exists() or not read_events(store_label(), load(workspace.params).dataset):
        return
    with suppress(UserError):  # nothing was pulled, so there is nothing to rebuild from: the gate decides again
        rebuild.main()


if __name__ == "__main__":
    run(main)
