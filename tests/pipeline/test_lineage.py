"""Lineage leads from the champion to everything that it was made from, and names whatever has changed since.

tests/pipeline/test_end_to_end.py tests how it tells two trainings of a preset apart.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
import pytest

from pipeline.cli import UserError
from pipeline.commands import lineage
from pipeline.tracking import integrity

COMMAND = ("python", "-m", "pipeline.commands.lineage")


@pytest.fixture(scope="module")
def champion(project) -> dict:
    """The champion's registered version, its folder of artefacts, and its receipt."""
    uri = f"sqlite:///{project.folder}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(uri)
    version = client.get_model_version_by_alias("digits", "champion")
    folder = Path(urlsplit(client.get_model_version_download_uri("digits", version.version)).path)
    receipt = Path(urlsplit(client.get_run(version.run_id).info.artifact_uri).path) / "training/receipt.json"
    return {"version": version, "folder": folder, "receipt": receipt, "client": client}


@contextmanager
def changed(*paths: Path) -> Iterator[None]:
    """Flip one bit of each file inside the `with` block."""
    contents = {path: path.read_bytes() for path in paths}
    for path, content in contents.items():
        path.unlink()  # it may be a link into DVC's cache
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    try:
        yield
    finally:
        for path, content in contents.items():
            path.write_bytes(content)


@pytest.fixture
def here(project, monkeypatch) -> None:
    """Let this process run in the project, with its store."""
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("DVC_ROOT", str(project.folder))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")


def find_fault(*model: str) -> str:
    """Run the command in this process, to avoid starting another; return its error message."""
    with pytest.raises(UserError) as fault:
        lineage.main(*model)
    return str(fault.value)


def digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def test_it_shows_all_that_made_the_champion(project, champion):
    done = project.run(*COMMAND)
    receipt = json.loads(champion["receipt"].read_text())
    tags, raw = champion["version"].tags, project.folder / "data/raw"
    facts = [
        champion["version"].run_id,
        tags["content_key"],
        receipt["git"]["commit"] + ", clean",
        f"dataset.json sha256 {digest(project.folder / 'data/prepared/dataset.json')}",
        *(f"{digest(path)}  {path.name}" for path in raw.iterdir()),
        f"{digest(project.folder / 'requirements.lock')}  requirements.lock",
        f"{digest(project.folder / 'pipeline/train.py')}  pipeline/train.py",
        "parameter    optimizer.learning_rate 0.01",
        f"metric       val_accuracy {float(tags['val_accuracy']):g}",
        "stage train@tiny_cnn",
        f"tensorflow {receipt['packages']['tensorflow']}",
        receipt["machine"]["system"],
        f"same         {champion['folder'].as_uri()}/artifacts/model.onnx",
        f"same         {champion['folder'].as_uri()}/artifacts/golden.json",
        f"same         {champion['folder'].as_uri()}/model.py",
        "same         models/tiny_cnn/model.keras",
        "same         data/prepared/test/images.npy",
    ]
    assert [fact for fact in facts if fact not in done.stdout] == []
    assert not [outcome for outcome in (*integrity.FAULTS, "unknown", "elsewhere") if f"\n{outcome} " in done.stdout]
    assert "changed since" not in done.stdout
    assert done.stdout.splitlines()[-1] == f"as recorded: {done.stdout.count('same         ')} files"
    assert tags["lock_sha256"] == receipt["lock_sha256"]


@pytest.mark.parametrize(
    ("registered", "local"),
    [
        (["artifacts/model.onnx"], []),
        (["artifacts/model_int8.tflite", "artifacts/model.tflite"], ["data/raw/train-images-idx3-ubyte"]),
        (
            ["model.py"],
            ["data/prepared/train/images.npy", "data/prepared/test/labels.npy", "models/tiny_cnn/model.onnx"],
        ),
        (["artifacts/golden.json"], ["data/prepared/dataset.json", "models/tiny_cnn/model_int8.tflite"]),
    ],
)
@pytest.mark.usefixtures("here")
def test_each_changed_file_is_named_and_no_other(project, champion, registered, local):
    files = [*(champion["folder"] / file for file in registered), *(project.folder / file for file in local)]
    with changed(*files):
        fault = find_fault()
    names = {*(f"{champion['folder'].as_uri()}/{file}" for file in registered), *local}
    assert {line.split(": ")[1] for line in fault.splitlines() if line.startswith("  ")} == names
    assert set(re.findall(r"  DIFFERS: (.*)", fault)) == names


def test_a_missing_and_an_added_file_are_named(project, champion):
    raw = project.folder / "data/raw"
    # `preprocess` would read the packed file if there were one.
    (raw / "t10k-labels-idx1-ubyte").rename(raw / "t10k-labels-idx1-ubyte.gz")
    done = project.run(*COMMAND, check=False)
    (raw / "t10k-labels-idx1-ubyte.gz").rename(raw / "t10k-labels-idx1-ubyte")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "MISSING: data/raw/t10k-labels-idx1-ubyte\n" in done.stderr
    assert "ADDED: data/raw/t10k-labels-idx1-ubyte.gz\n" in done.stderr


@pytest.mark.usefixtures("here")
def test_an_unknown_model_is_reported_with_those_that_there_are(champion):
    assert "no models:/digits/99; it has models:/digits@champion" in find_fault("models:/digits/99")
    assert "it has models:/digits@champion" in find_fault("models:/mnist@champion")
    assert champion["client"].get_experiment_by_name("mnist") is None


@pytest.mark.usefixtures("here")
def test_a_lost_receipt_is_reported(champion):
    away = champion["receipt"].with_name("away.json")
    champion["receipt"].rename(away)
    fault = find_fault()
    away.rename(champion["receipt"])
    assert "has lost its training/receipt.json: restore" in fault
