"""The project's own server on a trained champion: each way to send images gets the answers that `evaluate` reported."""

import base64

import mlflow
import numpy as np
import pandas as pd
import pytest

from serving.app.limits import Limits
from tests.helpers.client import PNG, multipart
from tests.helpers.pictures import encode
from tests.helpers.server import CHAMPION, command, free_port


@pytest.fixture(scope="module")
def pixels(project) -> np.ndarray:
    """The test images as they are published: uint8 [n, 28, 28]."""
    images: np.ndarray = np.load(project.folder / "data/prepared/test/images.npy")[..., 0]
    return images


@pytest.fixture(scope="module")
def champion(project):
    """The champion's registered version."""
    return mlflow.MlflowClient(f"sqlite:///{project.folder}/mlflow.db").get_model_version_by_alias("digits", "champion")


@pytest.fixture(scope="module")
def reported(project, champion) -> list[str]:
    """The champion's answers to the test images, as the stage `evaluate` reported them."""
    rows = pd.read_csv(project.folder / "reports" / champion.tags["model"] / "predictions.csv")
    return rows.query("split == 'test'")["answer"].astype(str).tolist()


def labels(answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [prediction["label"] for prediction in answer.json["predictions"]]


def test_it_prints_the_address_of_its_page(app):
    assert f"The page: {app.address}\n" in app.log


def test_raw_bytes_get_the_answers_of_the_report(app, pixels, reported):
    assert labels(app.predict(pixels.tobytes())) == reported


def test_png_files_get_the_answers_of_the_report(app, pixels, reported):
    found = []
    for start in range(0, len(pixels), Limits().files):
        files = [
            (f"{start + number}.png", encode(image))
            for number, image in enumerate(pixels[start : start + Limits().files])
        ]
        answer = app.predict(*multipart(files))
        found += labels(answer)
        assert [prediction["file"] for prediction in answer.json["predictions"]] == [name for name, _ in files]
    assert found == reported


def test_json_gets_the_answers_of_the_report(app, pixels, reported):
    assert labels(app.invoke({"inputs": pixels.tolist()})) == reported


def test_all_four_json_forms_are_answered_as_mlflow_answers_them(app, project, pixels):
    images, rows = pixels[:3].tolist(), pixels[:3].reshape(3, 1, 784).tolist()
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/mlflow.db")
    expected = mlflow.pyfunc.load_model(CHAMPION).predict(pixels[:3].astype(np.float32))
    for content in (
        {"inputs": images},
        {"instances": images, "params": None},
        {"dataframe_split": {"columns": ["pixels"], "index": [7, 8, 9], "data": rows}},
        {"dataframe_records": [{"pixels": row[0]} for row in rows]},
    ):
        answer = app.invoke(content)
        assert answer.status == 200, answer.body
        assert answer.json == {"predictions": expected}


def test_one_image_is_shown_as_the_network_was_given_it(app, pixels, champion):
    answer = app.predict(encode(pixels[0]), PNG)
    (prediction,) = answer.json["predictions"]
    assert base64.b64decode(prediction["pixels"]) == pixels[0].tobytes()
    (raw,) = app.predict(pixels[0].tobytes()).json["predictions"]
    assert {key: prediction[key] for key in raw} == raw
    assert raw["confidence"] == max(raw["probabilities"]) == raw["probabilities"][int(raw["label"])]
    assert answer.json["model"] == {"name": "digits", "version": str(champion.version)}


def test_a_photograph_is_brought_to_the_form_of_the_training_images(app, pixels, reported):
    """A picture that is large, dark on light, and not centred."""
    page = np.full((900, 700), 230, np.uint8)
    enlarged = np.kron(pixels[0], np.ones((12, 12), np.uint8))
    page[100:436, 300:636] -= (enlarged * 0.8).astype(np.uint8)
    color = np.stack([page] * 3, axis=-1)
    assert labels(app.predict(encode(color, "JPEG"), "image/jpeg")) == reported[:1]


def test_readyz_says_which_model_answers(app, champion):
    answer = app.get("/readyz")
    assert answer.status == 200
    tags = champion.tags
    assert answer.json["status"] == "ready"
    assert answer.json["problem"] is None
    model = answer.json["model"]
    test_accuracy = model.pop("test_accuracy")
    assert 0 < test_accuracy < 1
    assert model == {
        "name": "digits", "version": str(champion.version), "alias": "champion", "preset": tags["model"],
        "dataset": "digits", "sha256": tags["onnx_sha256"], "val_accuracy": float(tags["val_accuracy"]),
        "class_names": list("0123456789"), "image": {"height": 28, "width": 28, "channels": 1, "resize": "ink"},
    }  # fmt: skip


def test_metrics_count_requests_and_images_by_routes_that_exist(app, champion):
    def sample(name: str) -> float:
        lines = [line for line in app.get("/metrics").body.decode().splitlines() if line.startswith(name + " ")]
        return float(lines[0].split()[-1]) if lines else 0.0

    ok, bad = (
        'digits_requests_total{route="/predict",status="200"}',
        'digits_requests_total{route="other",status="404"}',
    )
    before = [sample(name) for name in (ok, bad, "digits_images_total")]
    app.predict(bytes(2 * 784))
    app.get("/made-up-by-a-client")
    assert [sample(name) for name in (ok, bad, "digits_images_total")] == [before[0] + 1, before[1] + 1, before[2] + 2]
    assert sample(f'digits_model_info{{name="digits",version="{champion.version}"}}') == 1
    assert sample("digits_requests_in_flight") == 1  # this request itself
    assert "made-up" not in app.get("/metrics").body.decode()
    assert sample("process_resident_memory_bytes") > 0


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (("models:/digits@nobody",), {}, "models:/digits@nobody"),
        (("models:/nothing/1",), {}, "models:/nothing/1"),
        (("models:/digits",), {}, "models:/mnist@champion"),
        (("reports",), {}, "reports"),
        ((CHAMPION,), {"MLFLOW_TRACKING_URI": "sqlite:////nowhere/mlflow.db"}, "run make run first"),
        ((CHAMPION, "--host", "192.0.2.1"), {}, "can't listen on 192.0.2.1"),
    ],
    ids=str,
)
def test_what_keeps_it_from_starting_is_reported_in_one_line(project, arguments, environment, message):
    done = project.run(*command(*arguments, "--port", str(free_port())), check=False, **environment)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_a_limit_of_nothing_is_refused(project):
    done = project.run(*command(CHAMPION, "--threads", "0"), check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("--threads 0: a positive number is expected")


def test_a_port_in_use_is_reported_in_one_line(app, project):
    done = project.run(*command(CHAMPION, "--port", str(app.port)), check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "--port" in done.stderr


def test_make_app_names_the_champion(project):
    assert "serving.app --port 1234" in project.run("make", "--dry-run", "app", "PORT=1234").stdout
