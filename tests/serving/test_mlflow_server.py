"""The model as MLflow serves it: all four JSON forms, and a clear answer to everything else."""

import json
import os
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from hashlib import sha256
from types import SimpleNamespace

import mlflow
import numpy as np
import onnxruntime
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from pipeline import inference as litert
from pipeline.evaluation import metrics as measures
from serving import model as served
from serving.model import DigitModel
from tests.helpers.networks import write_onnx


@pytest.fixture(scope="module")
def invoke(project) -> Iterator[Callable[[object], tuple[int, dict]]]:
    """Post JSON to `mlflow models serve` of the shrunken pipeline's champion; returns status and answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ("mlflow", "models", "serve", "-m", "models:/digits@champion", "--env-manager", "local", "-p", str(port))
    environment = project.environment | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    with (project.folder / "serve.log").open("w") as log:
        server = subprocess.Popen(command, cwd=project.folder, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"{address}/ping", timeout=5).close()
                break
            except OSError:
                log_text = (project.folder / "serve.log").read_text()
                assert server.poll() is None, log_text
                assert time.monotonic() < deadline, log_text
                time.sleep(0.2)

        def post(body: object) -> tuple[int, dict]:
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(f"{address}/invocations", json.dumps(body).encode(), headers)
            try:
                with urllib.request.urlopen(request, timeout=60) as response:
                    return response.status, json.load(response)
            except urllib.error.HTTPError as error:
                return error.code, json.load(error)

        yield post
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def pixels(project) -> np.ndarray:
    """The test images as they are published: whole numbers 0…255."""
    images = np.load(project.folder / "data/prepared/test/images.npy")[..., 0]
    return np.rint(images * 255).astype(int)


def test_it_answers_the_test_images_as_the_report_says(project, invoke, pixels):
    client = mlflow.MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    run_id = client.get_model_version_by_alias("digits", "champion").run_id  # of this workspace, or of an experiment
    with open(client.download_artifacts(run_id, "report/predictions.csv")) as file:
        expected = pd.read_csv(file).query("split == 'test'")
    status, answer = invoke({"inputs": pixels.tolist()})
    assert status == 200
    digits = [prediction["digit"] for prediction in answer["predictions"]]
    assert digits == expected["digit"].tolist()
    accuracy = np.mean(np.array(digits) == expected["label"])
    assert round(float(accuracy), 6) == client.get_run(run_id).data.metrics["test_accuracy"]
    first = answer["predictions"][0]
    assert first["confidence"] == max(first["probabilities"]) == first["probabilities"][first["digit"]]
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
    ("inputs", "told"),
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
def test_a_wrong_image_gets_a_400_that_says_what_was_expected(invoke, inputs, told):
    status, answer = invoke({"inputs": inputs})
    assert status == 400
    assert told in answer["message"]
    assert "Traceback" not in json.dumps(answer)
    assert "stack_trace" not in answer


@pytest.fixture
def small(tmp_path) -> Callable[[], DigitModel]:
    """Load a network whose answer is the place of the bright pixel; its two files are the test's to break."""
    files = {"onnx": tmp_path / "model.onnx", "golden": tmp_path / "golden.json"}
    write_onnx(files["onnx"], wrong=0)
    images = np.zeros((10, 28, 28), np.float32)
    images[np.arange(10), 0, np.arange(10)] = 255
    session = onnxruntime.InferenceSession(files["onnx"])
    golden = measures.golden(images, np.arange(10), session.run(None, {"pixels": images})[0])
    files["golden"].write_text(json.dumps(golden))

    def load() -> DigitModel:
        model = DigitModel()
        model.load_context(SimpleNamespace(artifacts={name: str(path) for name, path in files.items()}))
        return model

    return load


def test_many_images_are_answered_in_slices_as_each_by_itself(small, monkeypatch):
    model, sizes = small(), []
    run = model.session.run
    monkeypatch.setattr(
        model, "session", SimpleNamespace(run=lambda _, feed: sizes.append(len(feed["pixels"])) or run(None, feed))
    )
    pixels = np.random.default_rng(0).integers(0, 256, (served.MAX_IMAGES, 28, 28), np.uint8)
    together = model.probabilities(pixels)
    assert together.dtype == np.float32
    assert (sum(sizes), max(sizes)) == (len(pixels), served.SLICE)
    np.testing.assert_allclose(
        np.concatenate([model.probabilities(image[None]) for image in pixels]), together, atol=1e-6
    )
    answers = model.predict(None, pixels)
    assert [answer["probabilities"] for answer in answers] == together.tolist()
    assert [answer["digit"] for answer in answers] == together.argmax(axis=1).tolist()
    assert [answer["confidence"] for answer in answers] == together.max(axis=1).tolist()


@pytest.mark.parametrize(
    ("pixels", "told"),
    [
        (np.zeros((1001, 28, 28)), "shape (1001, 28, 28)"),
        (np.zeros((0, 28, 28)), "shape (0, 28, 28)"),
        (np.full((1, 28, 28), np.nan), "none at all (NaN)"),
        ([[["x"] * 28] * 28], "no array of numbers"),
        ([[[0] * 28] * 27 + [[0] * 27]], "no array of numbers"),
    ],
)
def test_what_is_no_batch_of_images_is_a_400_on_either_way_in(small, pixels, told):
    model = small()
    for answer in (model.probabilities, lambda pixels: model.predict(None, pixels)):
        with pytest.raises(MlflowException, match="expected 1 to 1,000 images of 28×28 pixels") as error:
            answer(pixels)
        assert told in error.value.message
        assert error.value.get_http_status_code() == 400


def test_a_model_tells_the_file_that_it_runs(small, tmp_path):
    assert small().sha256 == sha256((tmp_path / "model.onnx").read_bytes()).hexdigest()


@pytest.mark.parametrize("wrong", [1, 3])
def test_a_network_that_answers_golden_images_otherwise_does_not_start(small, tmp_path, wrong):
    write_onnx(tmp_path / "model.onnx", wrong)
    with pytest.raises(MlflowException, match=f"answers {wrong} of 10 golden images otherwise"):
        small()


@pytest.mark.parametrize(("change", "starts"), [(1e-5, True), (1e-2, False)])
def test_the_golden_check_tells_another_processor_from_another_network(small, tmp_path, change, starts):
    golden = json.loads((tmp_path / "golden.json").read_text())
    golden["probabilities"][4][2] += change
    (tmp_path / "golden.json").write_text(json.dumps(golden))
    with nullcontext() if starts else pytest.raises(MlflowException, match="1 of 10 golden images"):
        small()


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
    image = np.load(project.folder / "data/prepared/val/images.npy")[:1, ..., 0] * 255
    (expected,) = litert.run(project.folder / "edge/artifacts" / file, image.round())
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
