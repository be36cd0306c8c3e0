"""What each route answers to valid and to invalid input, without a server."""

import asyncio
import base64
import gc
import json
import weakref
from dataclasses import replace

import mlflow
import numpy as np
import pytest
from PIL import Image, ImageFile

from pipeline.evaluation.doubt import fit
from serving.app import routes
from serving.app.asgi import build_app
from serving.app.limits import Limits, Sampling
from serving.app.routes import MAX_INLINE_VALUES
from serving.doubt import NOTHING, SEVERAL
from serving.loading import fetch_folder
from serving.model_source import ModelSource
from tests.helpers.client import JSON, PNG, RAW, AsgiClient, ask_asgi, multipart
from tests.helpers.models import bright_values
from tests.helpers.parameters import format_parameter
from tests.helpers.pictures import bar, encode, in_mnist_form
from tests.helpers.waiting import eventually


def dots(count: int) -> np.ndarray:
    """Images for which the model answers 0, 1, 2 …"""
    pixels = np.zeros((count, 28, 28), np.uint8)
    pixels[np.arange(count), 0, np.arange(count) % 10] = 255
    return pixels


@pytest.mark.parametrize("count", [1, MAX_INLINE_VALUES // 784, MAX_INLINE_VALUES // 784 + 1, 1000])
def test_raw_bytes_are_answered_in_their_order(client, count):
    answer = client.predict(dots(count).tobytes())
    assert answer.status == 200
    assert [prediction["label"] for prediction in answer.json["predictions"]] == [str(n % 10) for n in range(count)]
    assert set(answer.json["predictions"][0]) == {"label", "confidence", "probabilities"}
    assert answer.json["model"] == {"name": "dots", "version": None}


def test_one_image_is_shown_as_the_network_was_given_it(client):
    (image,) = in_mnist_form(dots(4)[3:])
    (prediction,) = client.predict(encode(image), PNG).json["predictions"]
    assert base64.b64decode(prediction["pixels"]) == image.tobytes()
    assert prediction["label"] == "3"
    (raw,) = client.predict(image.tobytes()).json["predictions"]
    assert {key: prediction[key] for key in raw} == raw


def test_answers_say_whether_they_are_sure_if_the_model_knows_what_is_usual(source, monkeypatch):
    images = in_mnist_form(dots(200))
    usual = fit(images, source.loaded.model.probabilities(images), is_ink=True)
    monkeypatch.setitem(source.loaded.model.golden, "usual", usual)
    monkeypatch.setattr(source, "loaded", replace(source.loaded))
    client = AsgiClient(build_app(source, Limits(threads=1), {"*"}))
    stripes = np.zeros((1, 28, 28), np.uint8)
    stripes[0, 6:23:4, 4:24] = 255  # as large and as central as MNIST's digits
    for ask in (lambda image: client.predict(image.tobytes()), lambda image: client.predict(encode(image[0]), PNG)):
        (sure,), (unsure,) = (ask(image).json["predictions"] for image in (images[3:4], stripes))
        assert sure["sure"] is True
        assert "reason" not in sure
        assert unsure["sure"] is False
        assert unsure["reason"] == SEVERAL
    (nothing,) = client.predict(bytes(784)).json["predictions"]
    assert (nothing["sure"], nothing["reason"]) == (False, NOTHING)


def test_several_files_are_answered_by_their_names(client):
    files = [(f"{number}.png", encode(image)) for number, image in enumerate(in_mnist_form(dots(24)))]
    predictions = client.predict(*multipart(files)).json["predictions"]
    assert [(prediction["file"], prediction["label"]) for prediction in predictions] == [
        (f"{n}.png", str(n % 10)) for n in range(24)
    ]


def test_a_large_jpeg_is_brought_to_mnists_form(client):
    (prediction,) = client.predict(encode(255 - bar(400), "JPEG"), "image/jpeg; x=y").json["predictions"]
    pixels = np.frombuffer(base64.b64decode(prediction["pixels"]), np.uint8).reshape(28, 28)
    assert np.flatnonzero(pixels.any(axis=1)).size == 20


def test_colour_pictures_are_answered_with_names_from_raw_bytes_files_and_json(pictures, picture_client):
    form = pictures.loaded.form
    images = bright_values(form, 4)
    assert answered(picture_client.predict(images.tobytes())) == pictures.loaded.facts["class_names"]
    files = [(f"{number}.webp", encode(Image.fromarray(image), "PNG")) for number, image in enumerate(images)]
    answer = picture_client.predict(*multipart(files))
    assert answered(answer) == pictures.loaded.facts["class_names"]
    assert base64.b64decode(answer.json["predictions"][2]["pixels"]) == images[2].tobytes()
    assert answered(picture_client.invoke({"instances": images.tolist()})) == pictures.loaded.facts["class_names"]
    refused = picture_client.predict(bytes(719))
    assert (refused.status, refused.json["error"]) == (
        400, "expected 720 bytes per image, one per pixel and colour: red, green, blue; got 719 bytes"
    )  # fmt: skip


def answered(answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [prediction["label"] for prediction in answer.json["predictions"]]


def test_a_picture_of_one_colour_is_answered(picture_client):
    assert len(answered(picture_client.predict(encode(Image.new("RGB", (50, 50), "red"), "WEBP"), "image/webp"))) == 1


def test_files_are_as_few_as_the_model_takes_images(pictures, picture_client, monkeypatch):
    monkeypatch.setattr(pictures.loaded.model, "max_images", 2)
    answer = picture_client.predict(*multipart([("a.png", encode(bar()))] * 3))
    assert (answer.status, answer.json["error"]) == (400, "at most 2 files are allowed in a request")


def test_a_broken_file_among_several_is_named_by_its_number(client):
    answer = client.predict(*multipart([("a.png", encode(bar())), ("b.png", b"no PNG")]))
    assert (answer.status, answer.json["error"].partition(":")[0]) == (400, "file 2")


@pytest.mark.parametrize("count", [1, 20, 21])
def test_json_is_answered_as_the_model_answers(client, source, count):
    expected = source.loaded.model.predict(None, dots(count))
    assert client.invoke({"inputs": dots(count).tolist()}).json == {"predictions": expected}


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", 'application/json;charset="UTF-8"'])
def test_json_may_say_that_it_is_utf_8(client, kind):
    assert client.ask("POST", "/invocations", json.dumps({"inputs": dots(1).tolist()}), kind).status == 200


def test_mlflows_other_routes_and_the_probes_answer(client):
    assert {path: client.get(path).status for path in ("/ping", "/health", "/version", "/healthz")} == {
        "/ping": 200, "/health": 200, "/version": 200, "/healthz": 200,
    }  # fmt: skip
    assert client.get("/version").body.decode() == mlflow.__version__
    assert client.get("/healthz").json == {"status": "alive"}


def test_readyz_says_which_model_answers(client, source):
    answer = client.get("/readyz")
    assert answer.status == 200
    assert answer.json == {"status": "ready", "model": source.loaded.facts, "problem": None}


def test_a_model_that_no_longer_answers_its_golden_images_is_not_ready(source, monkeypatch):
    client = AsgiClient(build_app(source, Limits(threads=1), {"*"}))  # an app that hasn't checked them yet
    answers = source.loaded.model.golden["answers"]
    monkeypatch.setitem(source.loaded.model.golden, "answers", answers[::-1])
    answer = client.get("/readyz")
    assert (answer.status, answer.json["status"]) == (503, "failing")
    assert "answers 10 of 10 golden images otherwise" in answer.json["problem"]
    assert client.get("/healthz").status == 200


def test_readyz_runs_the_model_once_in_a_while_however_often_it_is_asked(source, monkeypatch):
    checks = []
    monkeypatch.setattr(routes, "CHECK_EVERY_S", 3600)
    monkeypatch.setattr(source.loaded.model, "check", lambda: checks.append(1))
    client = AsgiClient(build_app(source, Limits(threads=1), {"*"}))
    for _ in range(3):
        assert client.get("/readyz").status == 200
    assert len(checks) == 1
    monkeypatch.setattr(source, "loaded", replace(source.loaded))  # as when another version takes over
    assert client.get("/readyz").status == 200
    assert len(checks) == 2
    monkeypatch.setattr(routes, "CHECK_EVERY_S", -1)
    assert client.get("/readyz").status == 200
    assert len(checks) == 3


def test_no_route_holds_the_model_that_was_served_first(model_folder):
    source = ModelSource(str(model_folder))
    app = build_app(source, Limits(threads=1), {"*"})
    assert {AsgiClient(app).get(path).status for path in ("/readyz", "/ping", "/metrics")} == {200}
    first, source.loaded = weakref.ref(source.loaded.pyfunc), fetch_folder(model_folder)
    gc.collect()
    assert first() is None


def test_the_pixels_of_all_files_of_a_request_share_one_limit(client):
    quarter = encode(np.zeros((4000, 2600), np.uint8))
    answer = client.predict(*multipart([("a.png", quarter)] * 4))
    assert (answer.status, answer.json["error"]) == (
        400, "the images together are too large: at most 40 million pixels are allowed, 20 million of WebP",
    )  # fmt: skip


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_freed_before_the_next_one_is_decoded(source, monkeypatch, format):
    """One thread works, so the requests take turns, and no waiting request may hold pixels."""
    pictures: list[weakref.ref[Image.Image]] = []
    counts = []
    initialize, load = Image.Image.__init__, ImageFile.ImageFile.load

    def note(image: Image.Image) -> None:
        pictures.append(weakref.ref(image))
        initialize(image)

    def count_and_load(image: ImageFile.ImageFile) -> object:
        if image._im is None:  # not yet decoded
            alive = [picture for reference in pictures if (picture := reference()) is not None]
            counts.append(sum(picture._im is not None for picture in alive))
        return load(image)

    async def ask() -> list[int]:
        app = build_app(source, Limits(threads=1), {"localhost"})
        body, kind = multipart([("a", encode(bar(100), format))] * 4)
        answers = await asyncio.gather(*(ask_asgi(app, "POST", "/predict", body, kind) for _ in range(3)))
        return [answer.status for answer in answers]

    monkeypatch.setattr(Image.Image, "__init__", note)
    monkeypatch.setattr(ImageFile.ImageFile, "load", count_and_load)
    assert asyncio.run(ask()) == [200] * 3
    assert counts == [0] * 12


def test_answered_images_are_kept_by_each_way_in_if_that_is_asked_for(source, tmp_path):
    client = AsgiClient(build_app(source, Limits(threads=1), {"*"}, Sampling(tmp_path, 1.0, 30)))
    client.predict(dots(2).tobytes())
    client.predict(encode(bar()), PNG)
    client.invoke({"inputs": dots(3).tolist()})
    client.predict(bytes(783))
    eventually(lambda: sample(client, 'digits_samples_total{outcome="written"}') == 2 + 1 + 3)
    labels = sorted(path.parent.name for path in tmp_path.rglob("*.png"))
    assert labels == ["0", "0", "0", "1", "1", "2"]


def sample(client: AsgiClient, name: str) -> float:
    """The value of a metric; 0 if there is none."""
    lines = [line for line in client.get("/metrics").body.decode().splitlines() if line.startswith(name + " ")]
    return float(lines[0].split()[-1]) if lines else 0.0


def test_metrics_count_images_by_each_way_in(client):
    before = sample(client, "digits_images_total")
    client.predict(dots(2).tobytes())
    client.predict(dots(30).tobytes())
    client.predict(encode(bar()), PNG)
    client.predict(*multipart([("a.png", encode(bar()))] * 2))
    client.invoke({"inputs": dots(4).tolist()})
    client.invoke({"inputs": []})
    assert sample(client, "digits_images_total") == before + 2 + 30 + 1 + 2 + 4


def test_metrics_count_requests_by_routes_that_exist(client):
    def counts() -> list[float]:
        labels = ('route="/predict",status="200"', 'route="other",status="404"')
        return [sample(client, f"digits_requests_total{{{label}}}") for label in labels]

    before = counts()
    client.predict(bytes(784))
    client.get("/made-up-by-a-client")
    assert counts() == [before[0] + 1, before[1] + 1]
    assert sample(client, "digits_requests_in_flight") == 1  # this request itself
    assert "made-up" not in client.get("/metrics").body.decode()


def test_the_page_comes_with_headers_that_keep_it_to_itself(client):
    page = client.get("/")
    assert page.status == 200
    assert "<html" in page.body.decode()
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert client.get("/page/style.css").status == 200
    for path in ("/docs", "/openapi.json", "/page/../routes.py", "/page/%2e%2e/routes.py", "/page/%00"):
        answer = client.get(path)
        assert (answer.status, list(answer.json)) == (404, ["error"]), path


def test_a_fault_of_the_server_shows_nothing_of_itself(source, monkeypatch):
    broken = AsgiClient(build_app(source, Limits(), {"*"}))
    monkeypatch.setattr(type(source.loaded), "label", property(lambda _: 1 / 0))
    sent = []

    async def ask() -> None:
        scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": [], "query_string": b""}

        async def send(message: dict) -> None:
            sent.append(message)

        await broken.app(scope, None, send)

    with pytest.raises(ZeroDivisionError):  # for the server's log
        asyncio.run(ask())
    assert (sent[0]["status"], json.loads(sent[1]["body"])) == (
        500, {"error": "the server failed on this request; its log says why"}
    )  # fmt: skip
    assert b"x-content-type-options" in dict(sent[0]["headers"])


BLANK = encode(np.zeros((28, 28), np.uint8))
DIGIT = encode(np.random.default_rng(0).integers(0, 255, (28, 28), np.uint8))
BOMB = encode(np.zeros((1, 1), np.uint8)).replace(b"\0\0\0\1\0\0\0\1", b"\0\1\0\0\0\1\0\0", 1)  # says 65,536 × 65,536


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
        (encode(bar(), "GIF"), PNG, 400),
        (DIGIT, None, 415),
        (b"{}", JSON, 415),
        (b"", "multipart/form-data", 400),
        (b"no parts", "multipart/form-data; boundary=frontier", 400),
        (*multipart([]), 400),
        (*multipart([("a.png", DIGIT), ("b.png", b"no image")]), 400),
        (*multipart([("a.png", DIGIT)] * 25), 400),
    ],
    ids=format_parameter,
)  # fmt: skip
def test_a_wrong_image_gets_one_clear_sentence(client, body, kind, status):
    answer = client.ask("POST", "/predict", body, kind)
    assert (answer.status, list(answer.json)) == (status, ["error"])
    assert len(answer.json["error"]) < 250
    assert "no image" not in answer.json["error"]


def test_wrong_methods_and_paths_are_errors_of_the_same_form(client):
    for method, path, status, expected in (
        ("GET", "/predict", 405, "POST"),
        ("POST", "/", 405, "GET"),
        ("PUT", "/page/x", 405, ""),
        ("GET", "/x", 404, "POST /predict"),
        ("GET", "/page/x", 404, "POST /predict"),
    ):
        answer = client.ask(method, path)
        assert (answer.status, list(answer.json)) == (status, ["error"]), (method, path)
        assert expected in answer.json["error"], (method, path)
