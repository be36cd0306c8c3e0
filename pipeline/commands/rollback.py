"""Take the last promotion back (`make rollback`): reject the champion's network, return to the previous champion."""

from pipeline.cli import UserError, run
from pipeline.commands.champion import no_champion_error, read_registered_name
from pipeline.paths import Workspace
from pipeline.tracking import registry
from pipeline.tracking.lock import lock_registry
from pipeline.tracking.store import connect_existing, translate_errors


def main(reason: str = "", workspace: Workspace = Workspace()) -> None:
    """Reject the champion, with a reason if one is given; raise UserError if there was no champion before it."""
    name = read_registered_name(workspace)
    with translate_errors(), lock_registry() as require_lock:
        store = connect_existing(name, require_lock)
        before = registry.settle(store)
        if before.champion is None:
            raise no_champion_error(name)
        if before.previous is None:
            raise UserError(
                f"{name} has had no champion before version {before.champion.version}: nothing to take back; "
                "`make promote VERSION=…` promotes another version"
            )
        old, new = before.champion.version, before.previous.version
        registry.roll_back(store, before, reason or "rolled back")
        tags = {number: store.version(number).tags for number in (old, new)}
    models = {number: tags[number].get("model", "of another tool") for number in (old, new)}
    take_back = f"`make promote VERSION={old}`" if "content_key" in tags[old] else "the alias champion, set in MLflow,"
    print(
        f"models:/{name}@champion is version {new} ({models[new]}) again; version {old} ({models[old]}) is rejected: "
        f"{take_back} takes that back"
    )


if __name__ == "__main__":
    run(main, "[reason]")
