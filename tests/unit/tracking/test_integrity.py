import json
from hashlib import sha256
from types import SimpleNamespace

import pytest

from pipeline.files import sha256_of
from pipeline.paths import Workspace
from pipeline.tracking import integrity, trained_model
from pipeline.tracking.integrity import ADDED, DIFFERS, ELSEWHERE, MISSING, SAME, UNKNOWN
from serving.verification import ALL_HASHES, LOADER, hash_files
from tests.helpers.trained import DATASET, write_data, write_trained_model


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    write_trained_model(Workspace(tmp_path))
    return Workspace(tmp_path)


@pytest.fixture
def receipt(workspace) -> dict:
    return trained_model.read("tiny", workspace).receipt


def outcomes(checks, workspace: Workspace) -> dict[str, str]:
    """The outcome for each subject; paths are relative to the workspace."""
    return {subject.replace(f"{workspace.root}/", ""): outcome for outcome, subject in checks}


def test_a_file_is_the_same_differs_or_is_missing(tmp_path):
    path = tmp_path / "file"
    assert integrity.check_file(path, digest("a")) == (MISSING, str(path))
    assert integrity.check_file(path, None, "its name") == (MISSING, "its name")
    path.write_text("a")
    assert integrity.check_file(path, digest("a")) == (SAME, str(path))
    assert integrity.check_file(path, digest("b")) == (DIFFERS, str(path))
    assert integrity.check_file(path, digest("b"), "its name") == (DIFFERS, "its name")
    assert integrity.check_file(path, None) == (UNKNOWN, f"{path}: its sha256 was not recorded")


def test_what_is_changed_missing_or_added_is_a_fault_and_nothing_else():
    assert set(integrity.FAULTS) == {DIFFERS, MISSING, ADDED}


def test_a_folder_is_checked_in_both_directions(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("same", "changed", "sub/more", "sub/known"):
        (tmp_path / name).write_text(name)
    recorded = {name: digest(name) for name in ("same", "gone", "sub/known")} | {"changed": digest("before")}
    assert list(integrity.check_folder(tmp_path, recorded)) == [
        (SAME, f"{tmp_path}/same"),
        (MISSING, f"{tmp_path}/gone"),
        (SAME, f"{tmp_path}/sub/known"),
        (DIFFERS, f"{tmp_path}/changed"),
        (ADDED, f"{tmp_path}/sub/more"),
    ]
    assert not integrity.is_whole(tmp_path, recorded)
    all_files = {name: digest(name) for name in ("same", "changed", "sub/more", "sub/known")}
    assert integrity.is_whole(tmp_path, all_files)
    assert not integrity.is_whole(tmp_path, all_files | {"same": digest("other")})


def check_workspace(receipt, workspace) -> dict[str, str]:
    return outcomes(integrity.check_workspace(receipt, workspace), workspace)


def test_an_unchanged_model_is_the_same_file_by_file(receipt, workspace):
    assert check_workspace(receipt, workspace) == {f"models/tiny/{file}": SAME for file in receipt["files_sha256"]}


@pytest.mark.parametrize("file", ["model.onnx", "model.keras"])
def test_a_damaged_file_differs_and_the_others_are_checked(receipt, workspace, file):
    (workspace.model("tiny") / file).write_text("damaged")
    found = check_workspace(receipt, workspace)
    assert [name for name, outcome in found.items() if outcome != SAME] == [f"models/tiny/{file}"]
    assert found[f"models/tiny/{file}"] == DIFFERS
    (workspace.model("tiny") / file).unlink()
    assert check_workspace(receipt, workspace)[f"models/tiny/{file}"] == MISSING


def test_another_experiments_model_is_no_fault(receipt, workspace):
    folder = workspace.model("tiny")
    (folder / "model.onnx").write_text("other")
    (folder / "receipt.json").write_text(json.dumps({"files_sha256": {"model.onnx": digest("other")}}))
    ((outcome, subject),) = integrity.check_workspace(receipt, workspace)
    assert outcome == ELSEWHERE
    assert f"holds another experiment's model, onnx sha256 {digest('other')}; the recorded files are of" in subject
    assert "commit 333333333333; docs/champions.md" in subject


def test_a_damaged_receipt_does_not_excuse_a_damaged_model(receipt, workspace):
    folder = workspace.model("tiny")
    (folder / "model.onnx").write_text("damaged")
    (folder / "receipt.json").write_text("{")
    assert check_workspace(receipt, workspace)["models/tiny/model.onnx"] == DIFFERS


def test_a_workspace_without_the_model_is_no_fault_but_half_a_model_is(receipt, workspace):
    folder = workspace.model("tiny")
    (folder / "model.onnx").unlink()
    assert check_workspace(receipt, workspace)["models/tiny/model.onnx"] == MISSING
    (folder / "receipt.json").unlink()
    ((outcome, subject),) = integrity.check_workspace(receipt | {"git": {"commit": None, "dirty": None}}, workspace)
    assert (outcome, "holds no model; the recorded files are of a commit that is not known" in subject) == (
        ELSEWHERE,
        True,
    )
    (folder / "receipt.json").write_text("{}")
    assert check_workspace(receipt, workspace)["models/tiny/model.onnx"] == MISSING


def recorded_dataset(**changes):
    content = DATASET | changes
    return SimpleNamespace(
        source=json.dumps({"sha256": content["sources_sha256"]}), profile=json.dumps(content["splits"])
    )


def check_data(receipt, workspace, **recorded) -> dict[str, str]:
    return outcomes(integrity.check_data(receipt, recorded_dataset(**recorded), workspace), workspace)


def test_unchanged_data_are_the_same_file_by_file(receipt, workspace):
    names = ("raw/images", "raw/labels", "prepared/dataset.json", "prepared/val/images.npy")
    assert check_data(receipt, workspace) == {f"data/{name}": SAME for name in names}


@pytest.mark.parametrize("file", ["data/raw/labels", "data/prepared/val/images.npy", "data/prepared/dataset.json"])
def test_changed_data_differ(receipt, workspace, file):
    path = workspace.root / file
    path.write_text(path.read_text() + " ")
    found = check_data(receipt, workspace)
    assert {name for name, outcome in found.items() if outcome != SAME} == {file}
    assert found[file] == DIFFERS


def test_an_added_file_beside_the_data_is_named(receipt, workspace):
    (workspace.raw / "more").write_text("")
    (workspace.prepared / "more.npy").write_text("")
    found = check_data(receipt, workspace)
    assert (found["data/raw/more"], found["data/prepared/more.npy"]) == (ADDED, ADDED)


def test_missing_data_are_missing(receipt, workspace):
    (workspace.raw / "labels").unlink()
    workspace.dataset.unlink()
    assert check_data(receipt, workspace) == {
        "data/raw/images": SAME, "data/raw/labels": MISSING, "data/prepared/dataset.json": MISSING,
    }  # fmt: skip


def test_another_data_set_is_no_fault_if_it_is_whole(receipt, workspace):
    (workspace.raw / "images").write_text("of another data set")
    other = {**DATASET["sources_sha256"], "images": digest("of another data set")}
    write_data(workspace, name="other", sources_sha256=other)
    (workspace.raw / "images").write_text("of another data set")
    ((outcome, subject),) = integrity.check_data(receipt, recorded_dataset(), workspace)
    assert (outcome, "holds other data, other; the recorded files are of" in subject) == (ELSEWHERE, True)
    (workspace.raw / "labels").write_text("damaged")
    found = check_data(receipt, workspace)
    assert (found["data/raw/images"], found["data/raw/labels"]) == (DIFFERS, DIFFERS)


@pytest.mark.parametrize("change", [{"seed": 8}, {"splits": {**DATASET["splits"], "val": {"images": 1}}}])
def test_data_that_are_split_otherwise_are_no_fault(receipt, workspace, change):
    write_data(workspace, **change)
    *raw, (outcome, subject) = integrity.check_data(receipt, recorded_dataset(), workspace)
    assert [check.outcome for check in raw] == [SAME, SAME]
    assert outcome == ELSEWHERE
    assert f"is split differently, with seed {change.get('seed', 7)}; the recorded files are of" in subject


def test_prepared_data_without_recorded_hashes_are_unknown(receipt, workspace):
    content = {key: value for key, value in DATASET.items() if key != "files_sha256"}
    workspace.dataset.write_text(json.dumps(content))
    found = check_data(receipt | {"data_sha256": sha256_of(workspace.dataset)}, workspace)
    assert found["data/prepared/dataset.json"] == SAME
    assert found["data/prepared/*/*.npy: their sha256 was not recorded"] == UNKNOWN


@pytest.fixture
def registered(workspace, receipt, monkeypatch):
    """A version as MLflow stores it: its folder, its tags, and a function that checks it."""
    model = trained_model.read("tiny", workspace)
    folder = workspace.root / "registered"
    (folder / "artifacts").mkdir(parents=True)
    artifacts = {}
    for name, path in model.artifacts.items():
        (folder / "artifacts" / path.name).write_bytes(path.read_bytes())
        artifacts[name] = {"path": f"artifacts/{path.name}", "uri": "elsewhere"}
    (folder / "model.py").write_text("code")
    flavor = {"loader_module": LOADER, "model_code_path": "/somewhere/serving/model.py", "artifacts": artifacts}
    (folder / "MLmodel").write_text(json.dumps({"flavors": {"python_function": flavor}}))
    tags = model.tags | {"serving_code_sha256": digest("code"), ALL_HASHES: json.dumps(hash_files(folder))}
    version = SimpleNamespace(name="digits", version=3, run_id="some", tags=tags)
    downloads = []
    monkeypatch.setattr(
        "mlflow.artifacts.download_artifacts",
        lambda uri, dst_path: downloads.append((uri, dst_path)) or str(folder),
    )
    client = SimpleNamespace(get_model_version_download_uri=lambda name, number: f"store:/{name}/{number}")

    def check() -> list:
        found = list(integrity.check_registered(client, version, receipt, workspace.root / "scratch"))
        assert downloads == [("models:/digits/3", str(workspace.root / "scratch/model"))]
        return found

    return SimpleNamespace(folder=folder, version=version, check=check)


FILES = [
    "MLmodel",
    "model.py",
    *(f"artifacts/{file}" for file in ("golden.json", "model.onnx", "model.tflite", "model_int8.tflite")),
]


def faults(registered) -> list[tuple[str, str]]:
    return [(check.outcome, check.subject) for check in registered.check() if check.outcome != SAME]


def test_a_registered_copy_is_checked_file_by_file(registered):
    assert registered.check() == [
        *((SAME, f"store:/digits/3/{file}") for file in FILES), (SAME, "training/receipt.json of run some"),
    ]  # fmt: skip


@pytest.mark.parametrize("file", FILES)
def test_a_changed_registered_file_differs(registered, file):
    (registered.folder / file).write_text("changed")
    assert faults(registered) == [(DIFFERS, f"store:/digits/3/{file}")]


def test_a_file_or_folder_that_was_added_to_a_registered_copy_is_named(registered):
    (registered.folder / "evil").mkdir()
    (registered.folder / "evil" / "model.py").write_text("evil")
    (registered.folder / "__pycache__").mkdir()
    (registered.folder / "__pycache__" / "model.pyc").write_text("what Python leaves where a model is run")
    assert faults(registered) == [(ADDED, "store:/digits/3/evil/model.py")]


def test_a_registered_file_that_became_a_link_is_named(registered):
    (registered.folder / "model.py").rename(registered.folder.parent / "model.py")
    (registered.folder / "model.py").symlink_to("../model.py")
    assert faults(registered) == [(DIFFERS, "store:/digits/3/model.py: it is a link")]


@pytest.mark.parametrize("tag", ["onnx_sha256", "data_sha256"])
def test_a_receipt_of_another_model_differs(registered, tag):
    registered.version.tags[tag] = "0"
    assert registered.check()[-1] == (DIFFERS, "training/receipt.json of run some")


def test_a_missing_registered_file_is_missing(registered):
    (registered.folder / "MLmodel").unlink()
    assert faults(registered) == [(MISSING, "store:/digits/3/MLmodel")]


def test_what_an_older_version_recorded_no_hash_of_is_unknown(registered):
    del registered.version.tags[ALL_HASHES], registered.version.tags["golden_sha256"]
    unknown = ("MLmodel", "artifacts/golden.json")
    assert faults(registered) == [(UNKNOWN, f"store:/digits/3/{file}: its sha256 was not recorded") for file in unknown]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("[", "it describes no model of this pipeline"),
        ("{}", "it describes no model of this pipeline"),
        ('{"flavors": {"python_function": []}}', "it describes no model of this pipeline"),
        (None, "its MLmodel has data under python_function"),
    ],
)
def test_a_foreign_key_in_the_mlmodel_of_an_older_version_is_named(registered, content, fault):
    del registered.version.tags[ALL_HASHES]
    description = registered.folder / "MLmodel"
    description.write_text(
        content or description.read_text().replace('"loader_module"', '"data": "x", "loader_module"')
    )
    assert (DIFFERS, f"store:/digits/3/MLmodel: {fault}") in faults(registered)


def test_a_model_of_uncommitted_changes_is_restored_with_them():
    commit = "3" * 40
    assert "uncommitted.diff" not in integrity.explain_restore({"git": {"commit": commit, "dirty": False}})
    text = integrity.explain_restore({"git": {"commit": commit, "dirty": True}})
    assert "commit 333333333333 and the run's training/uncommitted.diff" in text
