"""MLflow's store is only a view: after it was deleted, it can be restored from what DVC keeps."""

import json
import shutil
from uuid import uuid4

from mlflow.tracking import MlflowClient

from serving.verification import ALL_HASHES
from tests.helpers.project import Project


def described(project) -> dict:
    """Everything that a user sees in the store, without the ids that the store generates."""
    # Read a copy: MLflow keeps a database open, even if the file was deleted and created again.
    copy = project.folder / f"mlflow.db.{uuid4().hex}"
    shutil.copy(project.folder / "mlflow.db", copy)
    client = MlflowClient(f"sqlite:///{copy}")
    experiment = client.get_experiment_by_name("digits").experiment_id
    runs = {}
    for run in client.search_runs([experiment]):
        if "content_key" not in run.data.tags:
            continue  # a training that was not registered: nothing is left from which a run could be made
        metrics = {}
        for name in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, name)
            metrics[name] = sorted((point.step, point.value, point.timestamp) for point in history)
        files = sorted(
            entry.path for folder in ("report", "training") for entry in client.list_artifacts(run.info.run_id, folder)
        )
        tags = {
            key: value for key, value in run.data.tags.items() if key in ("content_key", "dvc.stage", "onnx_sha256")
        }
        info = run.info
        runs[tags["content_key"]] = {
            "name": info.run_name, "status": info.status, "end": info.end_time, "params": run.data.params,
            "metrics": metrics, "tags": tags, "files": files,
        }  # fmt: skip
    versions = {version.version: dict(version.tags) for version in client.search_model_versions("name = 'digits'")}
    for tags in versions.values():
        tags.pop(ALL_HASHES)  # the file MLmodel contains such ids, too
    return {"runs": runs, "versions": versions, "aliases": client.get_registered_model("digits").aliases}


def test_a_wiped_store_is_rebuilt_with_past_experiments_and_all(project):
    def narrower(content: dict) -> None:
        content["models"]["tiny_cnn"]["convolutions"][0]["filters"] = 4

    def wider(content: dict) -> None:
        content["models"]["tiny_cnn"]["convolutions"][0]["filters"] = 8

    project.edit(narrower)
    project.repro()
    project.edit(wider)
    project.repro()
    project.run("python", "-m", "pipeline.register")
    before = described(project)
    assert len(before["versions"]) >= 3
    (project.folder / "mlflow.db").unlink()
    shutil.rmtree(project.folder / "mlruns")
    project.run("python", "-m", "pipeline.commands.rebuild")
    after = described(project)
    for key, run in before["runs"].items():
        for what, value in run.items():
            assert after["runs"][key][what] == value
    assert after == before
    project.run("python", "-m", "pipeline.commands.rebuild")
    assert described(project) == before
    project.run("python", "-m", "pipeline.register")
    assert described(project) == before


def test_a_version_whose_files_are_gone_keeps_its_number_free(project):
    before = described(project)
    journal = project.folder / "promotions.jsonl"
    text = journal.read_text()
    gone = json.loads(text.splitlines()[0])
    for key in ("content_key", "trained_key", "onnx_sha256"):
        journal.write_text(journal.read_text().replace(gone[key], "0" * 64))
    (project.folder / "mlflow.db").unlink()
    shutil.rmtree(project.folder / "mlruns")
    try:
        done = project.run("python", "-m", "pipeline.commands.rebuild")
        assert f"or only with newer serving code: version {gone['version']}\n" in done.stdout
        after = described(project)["versions"]
        # A version that a rebuild registered without a decision has no number in the journal that it could keep.
        journalled = {int(json.loads(line)["version"]) for line in text.splitlines()} - {int(gone["version"])}
        kept = {number: tags for number, tags in before["versions"].items() if int(number) in journalled}
        assert {number: after[number] for number in kept} == kept
        assert gone["version"] not in map(str, after)
    finally:
        journal.write_text(text)
        (project.folder / "mlflow.db").unlink()
        shutil.rmtree(project.folder / "mlruns")
        project.run("python", "-m", "pipeline.commands.rebuild")
        assert described(project) == before


def test_a_colleagues_clone_has_all_that_was_pushed_the_champion_included_without_training(project, tmp_path):
    """A champion that the gate wouldn't choose, so that it can't be the result of another decision."""
    number = project.registered()["dense_10"].version
    project.run("python", "-m", "pipeline.commands.promote", str(number), "a person wants it")
    project.run("dvc", "remote", "add", "--default", "team", str(tmp_path / "remote"))
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "Share")
    project.run("dvc", "push", "--run-cache")
    project.run("git", "clone", "--quiet", str(project.folder), str(tmp_path / "clone"))
    home = tmp_path / "home"
    home.mkdir()
    colleague = Project(tmp_path / "clone", project.environment | {"HOME": str(home), "DATASET_MIRROR": ""})
    colleague.run("dvc", "pull")
    colleague.run("python", "-m", "pipeline.commands.ensure_history")
    assert colleague.repro() == []
    colleague.run("python", "-m", "pipeline.commands.ensure_registered")
    before, after = described(project), described(colleague)
    assert after["aliases"]["champion"] == number
    assert after["versions"] == {number: before["versions"][number] for number in after["versions"]}
    assert {version.version for version in project.registered().values()} <= set(after["versions"])
    assert colleague.run("git", "status", "--short").stdout == ""
