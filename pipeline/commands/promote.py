"""Make a version the champion because a person says so: `make promote VERSION=3`, whatever the gate decided."""

from pipeline.cli import UserError, run
from pipeline.commands.champion import read_registered_name
from pipeline.paths import Workspace
from pipeline.tracking import registry
from pipeline.tracking.lock import lock_registry
from pipeline.tracking.store import connect_existing, translate_errors


def main(number: str, reason: str = "", workspace: Workspace = Workspace()) -> None:
    """Promote a version, and take back the rejection of its network; raise UserError if there is no such version."""
    name = read_registered_name(workspace)
    with translate_errors(), lock_registry() as require_lock:
        store = connect_existing(name, require_lock)
        ours = [version for version in store.search_versions() if "content_key" in version.tags]
        versions = {str(version.version): version for version in ours}
        if number not in versions:
            available = ", ".join(sorted(versions, key=int)) or "none: run `make run`, which registers the models"
            if not number:
                raise UserError(f"name a version, as in `make promote VERSION=3`; versions of {name}: {available}")
            raise UserError(f"{name} has no version {number!r} of this pipeline; versions: {available}")
        before = registry.settle(store)
        if before.champion == registry.to_champion(versions[number]):
            raise UserError(f"version {number} is the champion of {name} already: nothing to do")
        registry.promote_by_hand(store, before, versions[number], reason or "promoted by hand")
    old = f"; before it, version {before.champion.version} was" if before.champion else ""
    print(f"models:/{name}@champion is version {number} ({versions[number].tags['model']}){old}")


if __name__ == "__main__":
    run(main, "version", "[reason]")
