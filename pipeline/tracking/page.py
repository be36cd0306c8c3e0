"""The page on all models in MLflow: an artefact of the champion's run, beside that model's own report."""

from pathlib import Path

from pipeline.cli import UserError
from pipeline.files import sha256_of
from pipeline.tracking.registry import CHAMPION
from pipeline.tracking.store import connect_existing, translate_errors

FOLDER = "page"
TAG = "page_sha256"  # tag of a run that has the page


def log_page(page: Path, name: str) -> str:
    """Log the page to the run of the champion of the registered model `name`; it replaces an earlier page.

    The same page isn't logged twice. Return its place in words; raise UserError if there is no champion or no store.
    """
    store, digest = connect_existing(name), sha256_of(page)
    with translate_errors():
        number = store.aliases().get(CHAMPION)
        if number is None:
            raise UserError(f"{name} has no champion")
        run_id = str(store.version(number).run_id)
        has_page = bool(store.client.list_artifacts(run_id, FOLDER))
        if not has_page or store.client.get_run(run_id).data.tags.get(TAG) != digest:
            store.client.log_artifact(run_id, str(page), FOLDER)
            store.client.set_tag(run_id, TAG, digest)
    return f"{FOLDER}/{page.name} of the run of models:/{name}/{number}, the champion"
