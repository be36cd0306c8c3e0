import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.cli import UserError
from pipeline.commands import lineage
from pipeline.files import sha256_of
from pipeline.paths import LOCK, Workspace
from pipeline.tracking import trained_model
from pipeline.tracking.integrity import ADDED, DIFFERS, ELSEWHERE, MISSING, SAME, UNKNOWN, Check
from pipeline.tracking.store import Store, connect
from tests.helpers.trained import DATASET, write_trained_model


@pytest.fixture(scope="module")
def filled(tmp_path_factory, empty_database) -> Path:
    """The root of a store with two versions of digits, the second without the pipeline's tags, and one of mnist."""
    folder = tmp_path_factory.mktemp("filled")
    shutil.copy(empty_database, folder)
    with pytest.MonkeyPatch.context() as patch:
        fill(enter(folder, patch))
    return folder


@pytest.fixture
def client(filled, monkeypatch):
    """A client of that store, which no test changes."""
    return enter(filled, monkeypatch).client


def enter(root: Path, patch: pytest.MonkeyPatch) -> Store:
    patch.setenv("DVC_ROOT", str(root))
    patch.setenv("MLFLOW_TRACKING_URI", "")
    return connect("digits")


def fill(store: Store) -> None:
    for name, tags in (("digits", {"content_key": "0"}), ("digits", {}), ("mnist", {"content_key": "1"})):
        if not store.client.search_registered_models(f"name = '{name}'"):
            store.client.create_registered_model(name)
        store.client.create_model_version(name, source="file:///nowhere", tags=tags)
    store.set_alias("champion", "1")
    store.client.set_registered_model_alias("mnist", "champion", "1")


@pytest.mark.parametrize("model", ["models:/digits@champion", "models:/digits/1"])
def test_a_version_is_found_by_alias_and_by_number(client, model):
    version = lineage.find_version(client, model)
    assert (version.name, int(version.version)) == ("digits", 1)


@pytest.mark.parametrize(
    "model",
    [
        "digits",
        "models:/digits",
        "models:/digits/one",
        "models:/digits@",
        "models:/a/b@c",
        "runs:/digits/1",
        "models:/digits/99999999999999999999",
        "models:/digi'ts/1",
    ],
)
def test_what_names_no_version_is_reported_with_the_form(client, model):
    with pytest.raises(UserError, match=r"names no registered model; write models:/mnist@champion or models:/mnist/1"):
        lineage.find_version(client, model)


@pytest.mark.parametrize("model", ["models:/digits@previous", "models:/digits/9"])
def test_an_unknown_version_is_reported_with_those_that_there_are(client, model):
    with pytest.raises(UserError) as error:
        lineage.find_version(client, model)
    found = str(error.value)
    assert f"mlflow.db has no {model}; it has models:/digits@champion, models:/digits/" in found
    assert {"models:/digits/1", "models:/digits/2"} <= set(found.replace(",", "").split())
    assert "mnist" not in found


def test_an_unknown_name_is_reported_with_the_others_aliases(client):
    with pytest.raises(UserError, match=r"no models:/other/1; it has models:/digits@champion, models:/mnist@champion$"):
        lineage.find_version(client, "models:/other/1")


def test_an_empty_registry_is_reported_with_what_fills_it(store):
    with pytest.raises(UserError, match=r"it has no model at all: run `make run`, which registers them"):
        lineage.find_version(store.client, "models:/digits@champion")


def test_a_version_that_something_else_registered_is_refused(client):
    with pytest.raises(UserError, match="models:/digits/2 was not registered by this pipeline"):
        lineage.find_version(client, "models:/digits/2")


def test_a_version_whose_run_is_gone_is_reported_with_what_registers_it_again(client):
    with pytest.raises(UserError, match=r"run 0123 of models:/digits/1 is gone.*: `make run` registers"):
        lineage.find_run(client, SimpleNamespace(name="digits", version="1", run_id="0123"))


def test_a_store_that_fails_is_not_taken_for_an_unknown_model():
    from mlflow.exceptions import MlflowException

    def fail(*arguments) -> None:
        raise MlflowException("down")

    client = SimpleNamespace(get_model_version=fail)
    with pytest.raises(MlflowException, match="down"):
        lineage.find_version(client, "models:/digits/1")


def test_without_a_store_it_makes_none(root):
    (root / "mlflow.db").unlink()
    with pytest.raises(UserError, match=r"there is no MLflow store at .*: run `make run`"):
        lineage.main("models:/digits@champion")
    assert not (root / "mlflow.db").exists()


def test_a_store_that_fails_is_reported(monkeypatch):
    from mlflow.exceptions import MlflowException

    def fail(*arguments) -> None:
        raise MlflowException("down")

    monkeypatch.setattr(lineage, "open_existing", lambda: SimpleNamespace(get_model_version_by_alias=fail))
    with pytest.raises(UserError, match=r"can't be used: down"):
        lineage.main("models:/digits@champion")


def test_a_lost_or_damaged_receipt_is_reported(store, tmp_path):
    run_id = store.client.create_run(store.experiment_id).info.run_id
    with pytest.raises(UserError, match=rf"run {run_id} has lost its training/receipt.json: restore"):
        lineage.download_receipt(store.client, run_id, str(tmp_path))
    store.client.log_text(run_id, '{"a": 1}', "training/receipt.json")
    assert lineage.download_receipt(store.client, run_id, str(tmp_path)) == {"a": 1}
    store.client.log_text(run_id, '{"a": ', "training/receipt.json")
    with pytest.raises(UserError, match=rf"training/receipt.json of run {run_id} is damaged \(Expecting value"):
        lineage.download_receipt(store.client, run_id, str(tmp_path))


@pytest.mark.parametrize(
    ("git", "text"),
    [
        ({"commit": "abc", "dirty": False}, "abc, clean"),
        ({"commit": "abc", "dirty": True, "diff": "x"}, "abc, dirty: the run's training/uncommitted.diff says how"),
        ({"commit": "abc", "dirty": True, "diff": None}, "abc, dirty: how is not recorded"),
        ({"commit": None, "dirty": None}, "not recorded, clean or dirty is not known"),
    ],
)
def test_the_commit_says_whether_the_code_was_as_committed(git, text):
    assert lineage.describe_commit(git) == text


def test_a_file_that_has_changed_since_gets_a_remark(tmp_path):
    path = tmp_path / "file"
    assert lineage.remark_change(path, "0") == "  (changed since)"
    path.write_text("a")
    assert lineage.remark_change(path, "0") == "  (changed since)"
    assert lineage.remark_change(path, sha256_of(path)) == ""


@pytest.mark.parametrize("outcome", [DIFFERS, MISSING, ADDED])
def test_a_fault_is_an_error_that_names_the_file_and_what_to_do(outcome):
    checks = [Check(SAME, "a"), Check(outcome, "b"), Check(UNKNOWN, "c"), Check(ELSEWHERE, "d")]
    with pytest.raises(UserError) as error:
        lineage.require_no_faults(checks)
    first, *faults, advice = str(error.value).splitlines()
    assert (first, faults) == ("not as recorded:", [f"  {outcome}: b"])
    assert advice.startswith("`dvc checkout` restores data/ and models/.")
    assert "can't be fixed in place: restore the artifact store, or move the alias to another version" in advice


def test_what_is_unknown_or_elsewhere_is_no_fault():
    lineage.require_no_faults([Check(SAME, "a"), Check(UNKNOWN, "b"), Check(ELSEWHERE, "c")])


def list_facts(tmp_path, **changes) -> list[tuple[str, str]]:
    write_trained_model(Workspace(tmp_path))
    receipt = trained_model.read("tiny", Workspace(tmp_path)).receipt | changes
    version = SimpleNamespace(
        creation_timestamp=1767323041000, version=3, run_id="some", tags={"content_key": "its key"}
    )
    metrics = {"val_accuracy": 0.5, "epoch/loss": 1.0, "system/cpu": 2.0, "parameters": 7840}
    training = SimpleNamespace(data=SimpleNamespace(metrics=metrics, params={"seed": "7", "dataset": "digits"}))
    dataset = SimpleNamespace(source=json.dumps({"sha256": DATASET["sources_sha256"]}))
    return list(lineage.list_facts("models:/digits/3", version, training, receipt, dataset))


def test_the_facts_name_all_that_made_the_model(tmp_path):
    facts = list_facts(tmp_path)
    assert [label for label, _ in facts] == [
        "model", "run", "content key", "metric", "metric", "parameter", "parameter", "data set", "data file",
        "data file", "git commit", "code", "environment", "packages", "machine", "dvc",
    ]  # fmt: skip
    texts = [text for _, text in facts]
    assert texts[:7] == [
        "models:/digits/3: version 3, tiny, registered 2026-01-02T03:04:01+00:00",
        "some, trained 2026-01-02T03:04:00 to 2026-01-02T03:04:02 UTC",
        "its key",
        "parameters 7840",
        "val_accuracy 0.5",
        "dataset digits",
        "seed 7",
    ]
    assert texts[7] == f"digits, dataset.json sha256 {sha256_of(Workspace(tmp_path).dataset)}"
    assert texts[8:10] == [f"{DATASET['sources_sha256'][name]}  {name}" for name in ("images", "labels")]
    assert texts[10:] == [
        "3" * 40 + ", clean",
        "1" * 64 + "  pipeline/train.py  (changed since)",
        "2" * 64 + "  requirements.lock  (changed since)",
        "python 3.12.0, keras 3.15.0",
        "system Linux, cores 2, threads 2",
        "stage train@tiny",
    ]


def test_what_a_receipt_does_not_record_is_said(tmp_path):
    code = Path("pipeline/train.py")
    facts = dict(list_facts(tmp_path, lock_sha256=None, dvc={"stage": None}, code_sha256={str(code): sha256_of(code)}))
    assert (facts["environment"], facts["dvc"]) == ("lock file not recorded", "not run by DVC")
    assert facts["code"] == f"{sha256_of(code)}  {code}"


def test_an_unchanged_lock_file_gets_no_remark(tmp_path):
    assert dict(list_facts(tmp_path, lock_sha256=sha256_of(LOCK)))["environment"] == f"{sha256_of(LOCK)}  {LOCK}"
