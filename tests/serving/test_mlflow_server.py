"""The model as MLflow serves it: it takes all four JSON forms, and gives a clear error for everything else."""

import json
import os
import re
from collections.abc import Callable, Iterator

import mlflow
import numpy as np
import pandas as pd
import pytest

from pipeline.inference import predict_litert
from tests.helpers.server import CHAMPION, launched


@pytest.fixture(scope="module")
def invoke(project) -> Iterator[Callable[[object], tuple[int, dict]]]:
    """Post JSON to `mlflow models serve` of the shrunken pipeline's champion; returns status and answer."""
    command = ("mlflow", "models", "serve", "-m", CHAMPION, "--env-manager", "local")
    environment = project.environment | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    with launched(command, project.folder, environment, ready="/ping") as server:

        def post(body: object) -> tuple[int, dict]:
            answer = server.invoke(body)
            return answer.status, answer.json

        yield post


@pytest.fixture(scope="module")
def pixels(project) -> np.ndarray:
    """The test images as they are published: whole numbers 0…255."""
    images: np.ndarray = np.load(project.folder / "data/prepared/test/images.npy")[..., 0]
    return images


def test_it_answers_the_test_images_as_the_report_says(project, invoke, pixels):
    client = mlflow.MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    run_id = client.get_model_version_by_alias("digits", "champion").run_id  # of this workspace or of an experiment
    with open(client.download_artifacts(run_id, "report/predictions.csv")) as file:
        expected = pd.read_csv(file).query("split == 'test'")
    status, answer = invoke({"inputs": pixels.tolist()})
    assert status == 200
    labels = [prediction["label"] for prediction in answer["predictions"]]
    assert labels == expected["answer"].astype(str).tolist()
    accuracy = np.mean(np.array(labels) == expected["label"].astype(str))
    assert accuracy == pytest.approx(client.get_run(run_id).data.metrics["test_accuracy"], abs=1e-9)
    first = answer["predictions"][0]
    assert first["confidence"] == max(first["probabilities"]) == first["probabilities"][int(first["label"])]
    assert sum(first["probabilities"]) == pytest.approx(1, abs=1e-5)


def test_all_four_json_forms_give_the_same_answer(invoke, pixels):
    images, flat = pixels[:3].tolist(), pixels[:3].reshape(3, 784).tolist()
    bodies = [
        {"inputs": images},
        {"instances": images},
        {"dataframe_split": {"columns": ["pixels"], "data": [[row] for row in flat]}},
        {"dataframe_records": [{"pixels": row} for row in flat]},
    ]
    answers = [invoke(body) for body in bodies]
    assert answers == [answers[0]] * 4
    assert answers[0][0] == 200


IMAGE = [[0] * 28] * 28


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([[[256] + [0] * 27, *IMAGE[1:]]], "from 0 (background) to 255 (ink)"),
        ([[[-1] + [0] * 27, *IMAGE[1:]]], "from 0 (background) to 255 (ink)"),
        ([[[float("nan")] + [0] * 27, *IMAGE[1:]]], "from 0 (background) to 255 (ink)"),
        ([[[float("inf")] + [0] * 27, *IMAGE[1:]]], "from 0 (background) to 255 (ink)"),
        ([IMAGE[1:]], "(-1, 28, 28)"),
        (IMAGE, "(-1, 28, 28)"),
        ([[0] * 784], "(-1, 28, 28)"),
        ([], "(-1, 28, 28)"),
    ],
)
def test_a_wrong_image_gets_a_400_that_says_what_was_expected(invoke, inputs, message):
    status, answer = invoke({"inputs": inputs})
    assert status == 400
    assert message in answer["message"]
    assert "Traceback" not in json.dumps(answer)
    assert "stack_trace" not in answer


def test_the_registered_model_checks_itself_and_says_what_it_is(project):
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/mlflow.db")
    loaded = mlflow.pyfunc.load_model("models:/digits@champion")
    model, said = loaded.unwrap_python_model(), loaded.metadata.metadata
    model.check()
    client = mlflow.MlflowClient()
    version = client.get_model_version_by_alias("digits", "champion")
    assert model.sha256 == said["onnx_sha256"] == version.tags["onnx_sha256"]
    assert (said["model"], said["dataset"]) == (version.tags["model"], "digits")
    metrics = client.get_run(version.run_id).data.metrics
    for key in ("val_accuracy", "test_accuracy", "parameters"):
        assert said[key] == metrics[key]


@pytest.mark.parametrize("file", ["model_int8.tflite", "model.tflite"])
def test_the_files_for_phones_come_out_of_the_registry_and_run_as_documented(project, file):
    guide = (project.folder / "docs/edge.md").read_text()
    (shell,), (python,) = (re.findall(f"```{language}\n(.*?)```", guide, re.DOTALL) for language in ("sh", "python"))
    project.run("sh", "-ec", shell.replace(". .venv/bin/activate", "").replace("mnist", "digits"))
    done = project.run("python", "-c", python.replace("model_int8.tflite", file))
    digit, confidence = done.stdout.split()
    image = np.load(project.folder / "data/prepared/val/images.npy")[:1, ..., 0]
    (expected,) = predict_litert(project.folder / "edge/artifacts" / file, image)
    assert (int(digit), float(confidence)) == (expected.argmax(), pytest.approx(expected.max(), abs=1e-6))


def test_the_registered_model_needs_no_pickle_and_no_training_packages(project):
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/mlflow.db")
    folder = mlflow.artifacts.download_artifacts("models:/digits@champion")
    files = [os.path.join(root, file) for root, _, names in os.walk(folder) for file in names]
    assert not [file for file in files if file.endswith((".pkl", ".cloudpickle", ".keras"))]
    with open(os.path.join(folder, "requirements.txt")) as requirements:
        pinned = dict(line.strip().split("==") for line in requirements)
    assert set(pinned) == {"mlflow", "numpy", "onnxruntime"}
    assert pinned["mlflow"] == mlflow.__version__
    assert pinned["numpy"] == np.__version__
