"""The page on all models as an artefact of the champion's run."""

from pathlib import Path

import mlflow
import pytest

from pipeline.cli import UserError
from pipeline.tracking.page import log_page


@pytest.fixture
def page(tmp_path) -> Path:
    (tmp_path / "index.html").write_text("<p>first")
    return tmp_path / "index.html"


@pytest.fixture
def run_id(store) -> str:
    """The run of the champion, version 1."""
    made = store.client.create_run(store.experiment_id).info.run_id
    store.client.create_registered_model("digits")
    store.client.create_model_version("digits", source="file:///nowhere", run_id=made)
    store.set_alias("champion", "1")
    return str(made)


def read(store, run_id: str) -> str:
    return Path(store.client.download_artifacts(run_id, "page/index.html")).read_text()


def test_the_page_is_logged_with_the_champions_run_once_per_content(store, run_id, page, monkeypatch):
    logged = []
    log = mlflow.MlflowClient.log_artifact
    monkeypatch.setattr(
        mlflow.MlflowClient, "log_artifact", lambda *arguments: (logged.append(arguments[1]), log(*arguments))
    )
    assert log_page(page, "digits") == "page/index.html of the run of models:/digits/1, the champion"
    log_page(page, "digits")
    assert (logged, read(store, run_id)) == ([run_id], "<p>first")
    page.write_text("<p>second")
    log_page(page, "digits")
    assert (len(logged), read(store, run_id)) == (2, "<p>second")


def test_a_page_that_the_artefact_store_has_lost_is_logged_again(store, run_id, page):
    log_page(page, "digits")
    Path(store.client.download_artifacts(run_id, "page/index.html")).unlink()
    log_page(page, "digits")
    assert read(store, run_id) == "<p>first"


def test_without_a_champion_or_a_store_it_says_so(store, root, page):
    with pytest.raises(UserError, match="digits has no champion"):
        log_page(page, "digits")
    (root / "mlflow.db").unlink()
    with pytest.raises(UserError, match="there is no MLflow store"):
        log_page(page, "digits")
