import json
from hashlib import sha256
from importlib.metadata import version

import pytest

from pipeline.cli import UserError
from pipeline.files import sha256_of
from pipeline.paths import SERVING_CODE, Workspace
from pipeline.tracking import trained_model
from tests.helpers.trained import DATASET, write_trained_model


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    write_trained_model(Workspace(tmp_path))
    return Workspace(tmp_path)


def read(workspace: Workspace) -> trained_model.TrainedModel:
    return trained_model.read("tiny", workspace)


REORDERED = {"optimizer": {"arguments": {"learning_rate": 0.01}, "name": "Adam"}, "epochs": 2, "family": "dense"}


def rewrite(path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_model_has_the_files_that_train_and_evaluate_wrote(workspace):
    model = read(workspace)
    assert (model.name, model.dataset) == ("tiny", DATASET)
    assert model.artifacts == {
        "onnx": workspace.model("tiny") / "model.onnx",
        "tflite": workspace.model("tiny") / "model.tflite",
        "tflite_int8": workspace.model("tiny") / "model_int8.tflite",
        "golden": workspace.report("tiny") / "golden.json",
    }
    assert model.artifacts_sha256 == {f"{name}_sha256": sha256_of(path) for name, path in model.artifacts.items()}
    assert model.metadata == {
        "model": "tiny", "dataset": "digits", "onnx_sha256": model.artifacts_sha256["onnx_sha256"],
        "val_accuracy": 1.0, "test_accuracy": 0.75, "parameters": 7840,
        "class_names": list("0123456789"), "image_shape": [28, 28, 1], "resize": "ink",
    }  # fmt: skip


def test_tags_say_what_made_the_model_and_leave_out_what_is_unknown(workspace):
    model = read(workspace)
    code = sha256(json.dumps({"pipeline/train.py": "1" * 64}).encode()).hexdigest()
    assert model.tags == {
        "content_key": model.key,
        "trained_key": model.trained_key,
        "model": "tiny",
        "data_sha256": sha256_of(workspace.dataset),
        "code_sha256": code,
        "lock_sha256": "2" * 64,
        "serving_code_sha256": sha256_of(SERVING_CODE),
        **model.artifacts_sha256,
        "onnx_size": str((workspace.model("tiny") / "model.onnx").stat().st_size),
        "val_accuracy": "1.0",
        "mlflow.source.git.commit": "3" * 40,
        "git.dirty": "False",
        "dvc.stage": "train@tiny",
    }


@pytest.mark.parametrize("file", ["model.keras", "model.onnx", "model.tflite", "history.csv"])
def test_a_file_that_train_did_not_write_is_refused(workspace, file):
    path = workspace.model("tiny") / file
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(UserError, match=rf"tiny/{file} is not the file that train@tiny wrote.*dvc checkout"):
        read(workspace)
    path.unlink()
    with pytest.raises(UserError, match=rf"tiny/{file} is not the file that train@tiny wrote"):
        read(workspace)


def test_a_report_of_another_model_is_refused(workspace):
    (workspace.report("tiny") / "model.sha256").write_text("0" * 64 + "\n")
    with pytest.raises(UserError, match=r"reports/tiny was made of another model: run `dvc repro evaluate@tiny`"):
        read(workspace)


@pytest.mark.parametrize(
    "file",
    ["models/tiny/receipt.json", "reports/tiny/metrics.json", "reports/tiny/golden.json", "reports/tiny/model.sha256",
     "data/prepared/dataset.json"],
)  # fmt: skip
def test_a_missing_file_is_reported_with_what_makes_it(workspace, file):
    (workspace.root / file).unlink()
    with pytest.raises(UserError, match=f"{file} is missing: run `dvc repro`"):
        read(workspace)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("models/tiny/receipt.json", {"model": "other"}),
        ("models/tiny/receipt.json", {"dataset": "mnist"}),
        ("models/tiny/receipt.json", {"data_sha256": "0"}),
        ("models/tiny/receipt.json", {"seed": 8}),
        ("models/tiny/receipt.json", {"parameters": {"epochs": 3}}),
        ("reports/tiny/metrics.json", {"test_accuracy": 0.5}),
        ("reports/tiny/golden.json", {"digits": [1]}),
    ],
)
def test_the_key_depends_on_what_the_model_is_made_of_and_computes(workspace, file, change):
    before = read(workspace).key
    rewrite(workspace.root / file, **change)
    assert read(workspace).key != before


def test_the_key_does_not_depend_on_the_last_digits_of_a_metric(workspace):
    before = read(workspace)
    rewrite(workspace.report("tiny") / "metrics.json", test_accuracy=before.metrics["test_accuracy"] + 1e-9)
    assert read(workspace).key == before.key


@pytest.mark.parametrize(
    "change",
    [
        {"training": "later"},
        {"started": "2027-01-02T03:04:00+00:00"},
        {"git": {}},
        {"seeds_per_model": 2},
        {"parameters": REORDERED},
    ],
)
def test_the_key_does_not_depend_on_when_and_where_it_was_trained(workspace, change):
    before = read(workspace).key
    rewrite(workspace.model("tiny") / "receipt.json", **change)
    assert read(workspace).key == before


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A project with its own serving code and lock file."""
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving/model.py").write_text("1\n")
    (tmp_path / "requirements.lock").write_text(
        "# a comment\n"
        "mlflow==3.17.0 \\\n    --hash=sha256:00\n"
        "numpy==1.0 ; python_version < '3.0' \\\n    --hash=sha256:01\n"
        "numpy==2.0 ; python_version >= '3.0' \\\n    --hash=sha256:02\n"
        "onnxruntime==1.22.0\n"
        "tensorflow==2.21.0\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_served_models_packages_are_pinned_for_this_python(code):
    assert trained_model.pin_serving_packages() == ["mlflow==3.17.0", "numpy==2.0", "onnxruntime==1.22.0"]


def test_the_projects_own_lock_pins_what_is_installed():
    names = ("mlflow", "numpy", "onnxruntime")
    assert trained_model.pin_serving_packages() == [f"{name}=={version(name)}" for name in names]


def test_the_key_depends_on_serving_code_and_its_packages(workspace, code):
    keys = {read(workspace).key}
    (code / "serving/model.py").write_text("2\n")
    keys.add(read(workspace).key)
    lock = code / "requirements.lock"
    lock.write_text(lock.read_text().replace("tensorflow==2.21.0", "tensorflow==2.22.0"))
    keys.add(read(workspace).key)
    assert len(keys) == 2
    lock.write_text(lock.read_text().replace("mlflow==3.17.0", "mlflow==3.18.0"))
    assert read(workspace).key not in keys


def test_the_key_of_the_training_does_not_depend_on_what_serves_it(workspace, code):
    model = read(workspace)
    before = (model.key, model.trained_key)
    (code / "serving/model.py").write_text("2\n")
    model = read(workspace)
    assert (model.key == before[0], model.trained_key == before[1]) == (False, True)
    rewrite(workspace.report("tiny") / "metrics.json", test_accuracy=0.5)
    assert read(workspace).trained_key != before[1]


def test_a_receipt_of_an_older_version_is_read_under_todays_names(workspace):
    path = workspace.model("tiny") / "receipt.json"
    content = json.loads(path.read_text())
    content["repeats"] = content.pop("seeds_per_model") + 2
    path.write_text(json.dumps(content))
    receipt = read(workspace).receipt
    assert (receipt["seeds_per_model"], "repeats" in receipt) == (3, False)
