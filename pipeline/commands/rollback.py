"""Take the last promotion back (`make rollback`): the previous champion gets the alias again."""

from pipeline.cli import UserError, run
from pipeline.files import read_json
from pipeline.paths import Workspace
from pipeline.tracking.journal import ROLLED_BACK, append_event
from pipeline.tracking.promotion import CHAMPION, PREVIOUS
from pipeline.tracking.store import connect, lock_registry


def main(workspace: Workspace = Workspace()) -> None:
    """Swap the aliases champion and previous; raise UserError if there was no champion before this one."""
    name = read_json(workspace.registry / "registry.json")["name"]
    with lock_registry():
        store = connect(name)
        aliases = store.aliases()
        if PREVIOUS not in aliases or aliases[PREVIOUS] == aliases[CHAMPION]:
            raise UserError(f"{name} has had no champion before version {aliases.get(CHAMPION)}: nothing to take back")
        old, new = aliases[CHAMPION], aliases[PREVIOUS]
        store.set_alias(CHAMPION, new)
        store.set_alias(PREVIOUS, old)
        append_event({"event": ROLLED_BACK, "name": name, "version": new, "against": old})
    model = store.version(new).tags["model"]
    print(f"models:/{name}@champion is version {new} ({model}) again; version {old} is the previous one")


if __name__ == "__main__":
    run(main)
