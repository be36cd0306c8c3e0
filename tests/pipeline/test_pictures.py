"""A user's own folder of pictures, from one block of params.yaml to the served champion; all in this process."""

import json
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from pipeline import download, evaluate, preprocess, register, train
from pipeline.evaluation.tables import read_predictions
from pipeline.paths import Workspace
from serving.app.asgi import build_app
from serving.app.limits import Limits
from serving.batch.__main__ import run
from serving.model_source import ModelSource
from tests.helpers.client import AsgiClient

# The colour of each class, by its name. Names may be any text.
CLASSES = {"Bäume": (30, 160, 40), "red things": (200, 30, 30), "himmel": (40, 60, 220)}
KINDS = ("jpg", "png", "webp", "bmp", "gif")
MODEL = {
    "family": "cnn",
    "convolutions": [{"filters": 8, "pool_size": 4, "batch_normalization": True}],
    "pooling": "global_average",
    "optimizer": {"name": "Adam", "learning_rate": 0.05},
    "augmentation": {"horizontal_flip": True, "translation": 1, "reflect": True, "brightness": 0.1},
    "batch_size": 8,
    "epochs": 8,
}
PARAMS = {
    "dataset": "things",
    "datasets": {"things": {"folder": "pictures/things", "height": 12, "width": 16, "resize": "crop"}},
    "seed": 0,
    "seeds_per_model": 1,
    "threads": 2,
    "validation_images": 12,
    "presets": ["tiny"],
    "promotion": {"max_size_bytes": None, "max_latency_ms": None},
    "models": {"tiny": MODEL},
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, empty_database: Path):
    """A project with 90 pictures of three classes, of many sizes and formats, after its stages have run."""
    root = tmp_path_factory.mktemp("project")
    random = np.random.default_rng(0)
    for name, colour in CLASSES.items():
        folder = root / "pictures/things" / name
        folder.mkdir(parents=True)
        for number in range(30):
            height, width = random.integers(10, 40, 2)
            pixels = np.clip(random.normal(colour, 25, (height, width, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"bild {number}.{KINDS[number % len(KINDS)]}")
    (root / "pictures/things/himmel/notes.txt").write_text("taken in May")
    YAML().dump(PARAMS, root / "params.yaml")
    shutil.copy(empty_database, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(root))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
        workspace = Workspace(root)
        download.main(workspace)
        preprocess.main(workspace)
        train.main("tiny", workspace)
        evaluate.main("tiny", workspace)
        register.main(workspace)
        yield workspace


@pytest.fixture(scope="module")
def source(workspace) -> ModelSource:
    """The champion, loaded in the same way as the app and the batch tool do it."""
    return ModelSource("models:/things@champion")


@pytest.fixture(scope="module")
def tested(workspace) -> dict[Path, str]:
    """The class that the predictions in `reports/` give each test picture."""
    rows = (workspace.prepared / "sources.csv").read_text().splitlines()[1:]
    answers = read_predictions(workspace.report("tiny") / "predictions.csv").query("split == 'test'")
    folder = workspace.root / "pictures/things"
    return {folder / rows[row].split(",")[0]: answer for row, answer in answers[["image", "answer"]].to_numpy()}


def test_the_champion_knows_its_classes_and_its_form(source):
    assert source.loaded.facts["class_names"] == sorted(CLASSES)
    assert source.loaded.facts["image"] == {"height": 12, "width": 16, "channels": 3, "resize": "crop"}
    metadata = mlflow.models.get_model_info("models:/things@champion").metadata
    assert (metadata["class_names"], metadata["image_shape"]) == (sorted(CLASSES), [12, 16, 3])
    assert source.loaded.facts["test_accuracy"] > 0.9


def test_the_app_answers_a_picture_as_the_report_does(source, tested):
    client = AsgiClient(build_app(source, Limits(), {"localhost"}))
    files = {path: answer for path, answer in tested.items() if path.suffix in (".jpg", ".png", ".webp")}
    assert len({path.suffix for path in files}) == 3
    for path, answer in files.items():
        kind = {".jpg": "jpeg"}.get(path.suffix, path.suffix[1:])
        given = client.predict(path.read_bytes(), f"image/{kind}").json
        assert given["predictions"][0]["label"] == answer, path


def test_the_batch_tool_answers_the_folder_as_the_report_does(source, tested, workspace, tmp_path):
    import pandas as pd

    folder = workspace.root / "pictures/things"
    run(folder, tmp_path / "answers.parquet", "models:/things@champion")
    table = pd.read_parquet(tmp_path / "answers.parquet").set_index("path")
    found = {path: table.loc[path.relative_to(folder).as_posix(), "label"] for path in tested}
    assert found == tested


def test_mlflow_answers_all_forms_of_json(source):
    client = AsgiClient(build_app(source, Limits(), {"localhost"}))
    image = np.random.default_rng(1).integers(0, 256, (12, 16, 3))
    forms = [
        {"inputs": [image.tolist()]},
        {"instances": [image.tolist()]},
        {"dataframe_split": {"columns": ["pixels"], "data": [[image.ravel().tolist()]]}},
        {"dataframe_records": [{"pixels": image.ravel().tolist()}]},
    ]
    answers = [client.invoke(form).json["predictions"] for form in forms]
    assert answers == answers[:1] * 4
    assert answers[0][0]["label"] in CLASSES


def test_what_was_passed_over_is_named(workspace):
    assert "notes.txt" in (workspace.prepared / "skipped.csv").read_text()
    assert json.loads(workspace.dataset.read_text())["found"]["no_pictures"] == 1
