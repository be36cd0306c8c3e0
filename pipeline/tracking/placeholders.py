"""Versions that only use up numbers, so that in a rebuild later versions get the numbers that the journal has."""

from pipeline.tracking.store import Store

PLACEHOLDER = "placeholder"  # tag of such a version and of its run


def use_up_numbers(store: Store, last: int) -> None:
    """Use up the numbers of versions whose content is gone, up to `last`, so that the later ones keep theirs."""
    highest = max((int(version.version) for version in store.search_versions()), default=0)
    if highest >= last:
        return
    # A server accepts no version without a run.
    run = store.client.create_run(store.experiment_id, tags={PLACEHOLDER: "true"}).info
    while highest < last:
        tags = {PLACEHOLDER: "true"}
        empty = store.client.create_model_version(store.name, run.artifact_uri, run_id=run.run_id, tags=tags)
        store.client.delete_model_version(store.name, str(empty.version))
        highest = int(empty.version)
    store.client.delete_run(run.run_id)


def delete_placeholders(store: Store) -> None:
    """Delete the empty version, and its run, that remain if a rebuild was killed while it used up a number."""
    for version in store.search_versions(f"tags.{PLACEHOLDER} = 'true'"):
        store.client.delete_model_version(store.name, str(version.version))
    for left in store.search_runs(f"tags.{PLACEHOLDER} = 'true'"):
        store.client.delete_run(left.info.run_id)
