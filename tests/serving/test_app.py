"""The project's own server: what it answers, by each route, to good input and to bad."""

import base64
import io
import json
import signal
import socket

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.helpers.server import CHAMPION, JSON, PNG, RAW, command, free_port, multipart, running

IMAGE = [[0] * 28] * 28


@pytest.fixture(scope="module")
def pixels(project) -> np.ndarray:
    """The test images as they are published: uint8 [n, 28, 28]."""
    images = np.load(project.folder / "data/prepared/test/images.npy")[..., 0]
    return np.rint(images * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def champion(project):
    """The champion's registered version."""
    return mlflow.MlflowClient(f"sqlite:///{project.folder}/mlflow.db").get_model_version_by_alias("digits", "champion")


@pytest.fixture(scope="module")
def reported(project, champion) -> list[int]:
    """The champion's answers to the test images, as the evaluation has reported them."""
    rows = pd.read_csv(project.folder / "reports" / champion.tags["model"] / "predictions.csv")
    return rows.query("split == 'test'")["digit"].tolist()


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def digits(answer) -> list[int]:
    assert answer.status == 200, answer.body
    return [prediction["digit"] for prediction in answer.json["predictions"]]


def test_raw_bytes_get_the_answers_of_the_report(app, pixels, reported):
    assert digits(app.predict(pixels.tobytes())) == reported


def test_png_files_get_the_answers_of_the_report(app, pixels, reported):
    found = []
    for start in range(0, len(pixels), 64):
        files = [(f"{start + number}.png", png(image)) for number, image in enumerate(pixels[start : start + 64])]
        answer = app.predict(*multipart(files))
        found += digits(answer)
        assert [prediction["file"] for prediction in answer.json["predictions"]] == [name for name, _ in files]
    assert found == reported


def test_json_gets_the_answers_of_the_report(app, pixels, reported):
    assert digits(app.invoke({"inputs": pixels.tolist()})) == reported


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
    answer = app.predict(png(pixels[0]), PNG)
    (prediction,) = answer.json["predictions"]
    assert base64.b64decode(prediction["pixels"]) == pixels[0].tobytes()
    (raw,) = app.predict(pixels[0].tobytes()).json["predictions"]
    assert {key: prediction[key] for key in raw} == raw
    assert raw["confidence"] == max(raw["probabilities"]) == raw["probabilities"][raw["digit"]]
    assert answer.json["model"] == {"name": "digits", "version": str(champion.version)}


def test_a_photograph_is_brought_to_the_form_of_the_training_images(app, pixels, reported):
    """Large, dark on light, off its centre."""
    page = np.full((900, 700), 230, np.uint8)
    enlarged = np.kron(pixels[0], np.ones((12, 12), np.uint8))
    page[100:436, 300:636] -= (enlarged * 0.8).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(page).convert("RGB").save(file, "JPEG")
    assert digits(app.predict(file.getvalue(), "image/jpeg")) == reported[:1]


def test_readyz_tells_which_model_answers(app, champion):
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
    assert sample("digits_requests_in_flight") == 1  # this very request
    assert "made-up" not in app.get("/metrics").body.decode()
    assert sample("process_resident_memory_bytes") > 0


def test_mlflows_other_routes_and_the_probes_answer(app):
    assert {path: app.get(path).status for path in ("/ping", "/health", "/version", "/healthz")} == {
        "/ping": 200, "/health": 200, "/version": 200, "/healthz": 200,
    }  # fmt: skip
    assert app.get("/version").body.decode() == mlflow.__version__
    assert app.get("/healthz").json == {"status": "alive"}


def test_the_page_comes_with_headers_that_keep_it_to_itself(app):
    page = app.get("/")
    assert page.status == 200
    assert "<html" in page.body.decode()
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "server" not in page.headers
    for path in ("/docs", "/openapi.json", "/page/../routes.py", "/page/%2e%2e/routes.py", "/page/%00"):
        answer = app.get(path)
        assert (answer.status, list(answer.json)) == (404, ["error"]), path


def shown(value: object) -> str:
    """A parameter in a test's name."""
    return "body" if isinstance(value, bytes) else str(value)


def nested(depth: int) -> bytes:
    return b'{"inputs":' + b"[" * depth + b"]" * depth + b"}"


def inputs(*pixels: object) -> bytes:
    """One image that begins with these pixels."""
    row = [*pixels, *[0] * (28 - len(pixels))]
    return json.dumps({"inputs": [[row, *IMAGE[1:]]]}).encode()


@pytest.mark.parametrize(
    ("body", "kind", "status", "told"),
    [
        (inputs(256), JSON, 400, "from 0 (background) to 255 (ink)"),
        (inputs(-1), JSON, 400, "from 0 (background) to 255 (ink)"),
        (inputs(float("nan")), JSON, 400, "got NaN"),
        (inputs(float("inf")), JSON, 400, "got Infinity"),
        (inputs(float("-inf")), JSON, 400, "got -Infinity"),
        (inputs().replace(b"[0,", b"[1e999,", 1).replace(b"[0, ", b"[1e999, ", 1), JSON, 400, "a number outside"),
        (inputs(10**400), JSON, 400, "a number outside"),
        (inputs().replace(b"[0, ", b"[1" + b"0" * 5000 + b", ", 1), JSON, 400, "not JSON"),
        (inputs("7"), JSON, 400, "no number"),
        (inputs(True), JSON, 400, "no number"),
        (inputs(None), JSON, 400, "no number"),
        (inputs([0]), JSON, 400, "no number"),
        (b'{"inputs": []}', JSON, 400, "n at least 1"),
        (b'{"inputs": {}}', JSON, 400, "in a list [n][28][28]"),
        (b'{"inputs": null}', JSON, 400, "in a list [n][28][28]"),
        (json.dumps({"inputs": IMAGE}).encode(), JSON, 400, "in a list [n][28][28]"),
        (json.dumps({"instances": [IMAGE[1:]]}).encode(), JSON, 400, "in a list [n][28][28]"),
        (json.dumps({"inputs": [[0] * 784]}).encode(), JSON, 400, "in a list [n][28][28]"),
        (json.dumps({"inputs": [IMAGE] * 1001}).encode(), JSON, 400, "at most 1,000 images"),
        (json.dumps({"inputs": [IMAGE] * 1500}).encode(), JSON, 400, "at most 1,000 images"),
        (b'{"inputs": [1], "instances": [1]}', JSON, 400, "one of inputs, instances"),
        (b'{"messages": []}', JSON, 400, "one of inputs, instances"),
        (b"[]", JSON, 400, "one of inputs, instances"),
        (b"", JSON, 400, "not JSON"),
        (b"{", JSON, 400, "not JSON"),
        (b'{"inputs": "\xff"}', JSON, 400, "not JSON in UTF-8"),
        (nested(10_000), JSON, 400, "not JSON"),
        (nested(100_000), JSON, 400, "too many values"),
        (b'{"dataframe_split": []}', JSON, 400, "columns (one) and data"),
        (b'{"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]]}}', JSON, 400, "one column"),
        (b'{"dataframe_split": {"data": [[[1, 2]]]}}', JSON, 400, "784 numbers"),
        (b'{"dataframe_records": {}}', JSON, 400, "one column each"),
        (b'{"dataframe_records": [{"a": 1, "b": 2}]}', JSON, 400, "one column each"),
        (b'{"dataframe_records": [{"a": [1]}, {"b": [1]}]}', JSON, 400, "same column"),
        (b"1,2,3", "text/csv", 415, "expected application/json"),
        (b"PAR1", "application/vnd.apache.parquet", 415, "expected application/json"),
        (inputs(), None, 415, "expected application/json"),
        (inputs(), "", 415, "expected application/json"),
    ],
    ids=shown,
)  # fmt: skip
def test_wrong_json_gets_one_clear_sentence(app, body, kind, status, told):
    answer = app.ask("POST", "/invocations", body, kind)
    assert (answer.status, list(answer.json)) == (status, ["error"])
    assert told in answer.json["error"]
    assert len(answer.json["error"]) < 250


def test_json_in_another_charset_is_refused(app):
    answer = app.ask("POST", "/invocations", inputs(), "application/json; charset=utf-16")
    assert (answer.status, list(answer.json)) == (415, ["error"])


BLANK = png(np.zeros((28, 28), np.uint8))
DIGIT = png(np.random.default_rng(0).integers(0, 255, (28, 28), np.uint8))
BOMB = png(np.zeros((1, 1), np.uint8)).replace(b"\0\0\0\1\0\0\0\1", b"\0\1\0\0\0\1\0\0", 1)  # says 65,536 × 65,536


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", RAW, 400),
        (bytes(783), RAW, 400),
        (bytes(785), RAW, 400),
        (bytes(784 * 1001), RAW, 400),
        (b"", PNG, 400),
        (b"no image", PNG, 400),
        (DIGIT[:400], PNG, 400),
        (BLANK, PNG, 400),
        (BOMB, PNG, 400),
        (DIGIT, "image/gif", 415),
        (DIGIT, None, 415),
        (b"{}", JSON, 415),
        (b"", "multipart/form-data", 400),
        (b"no parts", "multipart/form-data; boundary=frontier", 400),
        (*multipart([]), 400),
        (*multipart([("a.png", DIGIT), ("b.png", b"no image")]), 400),
        (*multipart([("a.png", DIGIT)] * 65), 400),
    ],
    ids=shown,
)  # fmt: skip
def test_a_wrong_image_gets_one_clear_sentence(app, body, kind, status):
    answer = app.ask("POST", "/predict", body, kind)
    assert (answer.status, list(answer.json)) == (status, ["error"])
    assert len(answer.json["error"]) < 250
    assert "no image" not in answer.json["error"]


def test_wrong_methods_and_paths_are_errors_of_the_same_form(app):
    for method, path, status in (
        ("GET", "/predict", 405),
        ("POST", "/", 405),
        ("PUT", "/page/x", 405),
        ("GET", "/x", 404),
    ):
        answer = app.ask(method, path)
        assert (answer.status, list(answer.json)) == (status, ["error"]), (method, path)


def test_a_request_in_flight_is_answered_when_the_server_is_told_to_stop(project):
    with running(project) as app, socket.create_connection(("127.0.0.1", app.port), 30) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n")
        client.sendall(b"Expect: 100-continue\r\nContent-Length: 784\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 100")  # so the request has begun
        app.process.send_signal(signal.SIGTERM)
        client.sendall(bytes(784))
        assert client.makefile("rb").readline().startswith(b"HTTP/1.1 200")
        app.process.wait(30)
    assert "Traceback" not in app.log


def test_a_folder_is_served_as_it_is(project, tmp_path):
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/mlflow.db")
    folder = mlflow.artifacts.download_artifacts(CHAMPION, dst_path=str(tmp_path))
    with running(project, model=folder, MLFLOW_TRACKING_URI="sqlite:////nowhere/mlflow.db") as app:
        ready = app.get("/readyz").json
        assert (ready["status"], ready["model"]["version"], ready["model"]["dataset"]) == ("ready", None, "digits")
        assert app.predict(bytes(784)).json["model"] == {"name": "digits", "version": None}


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
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
def test_what_keeps_it_from_starting_is_told_in_one_line(project, arguments, environment, told):
    done = project.run(*command(*arguments, "--port", str(free_port())), check=False, **environment)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert told in line


def test_a_limit_of_nothing_is_refused(project):
    done = project.run(*command(CHAMPION, "--threads", "0"), check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("--threads 0: a positive number is expected")


def test_a_port_in_use_is_told_in_one_line(app, project):
    done = project.run(*command(CHAMPION, "--port", str(app.port)), check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "--port" in done.stderr


def test_listening_beyond_the_loopback_is_warned_of(project):
    with running(project, "--host", "0.0.0.0", "--allow-host", "Digits.Example") as app:
        assert app.log.startswith("warning: listening on 0.0.0.0")
        assert app.get("/healthz", Host="digits.example").status == 200
        assert app.get("/healthz", Host="digits.example.org").status == 400


def test_make_app_names_the_champion(project):
    assert "serving.app --port 1234" in project.run("make", "--dry-run", "app", "PORT=1234").stdout
