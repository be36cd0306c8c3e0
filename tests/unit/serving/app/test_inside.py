"""What the routes of /inside answer to valid and to invalid requests, without a server."""

import asyncio
import weakref
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ruamel.yaml import YAML

from pipeline.config import params
from serving.app import versions
from serving.app.asgi import build_app
from serving.app.inside import MAX_WEIGHTS
from serving.app.limits import Limits
from serving.app.versions import Versions
from serving.loaded_model import LoadedModel, version_identity
from serving.model_source import ModelSource
from serving.occlusion import POSITIONS
from tests.helpers.client import JSON, PNG, RAW, Answer, AsgiClient, ask_asgi
from tests.helpers.configs import CNN
from tests.helpers.exported import PIXELS, export, run_keras
from tests.helpers.models import save_model, write_golden
from tests.helpers.parameters import format_parameter
from tests.helpers.pictures import bar, encode, in_mnist_form
from tests.helpers.project import SOURCE

IMAGE = PIXELS[0]
PRESETS = ("dense_512", "cnn_2m", "cnn_fast")


def serve(config, folder):
    """Return a Keras network with random weights, and the source of its saved model."""
    model, _ = export(config, folder)
    return model, ModelSource(str(save_model(folder / "saved", write_golden(folder, PIXELS))))


@pytest.fixture(scope="module")
def cnn(tmp_path_factory) -> ModelSource:
    return serve(CNN, tmp_path_factory.mktemp("cnn"))[1]


@pytest.fixture(scope="module")
def inside(cnn) -> AsgiClient:
    """A client of the app on a convolutional network with random weights."""
    return AsgiClient(build_app(cnn, Limits(threads=1), {"localhost"}))


def floats(answer: Answer, *shapes: list[int]) -> list[np.ndarray]:
    """The bytes of an answer, read as arrays of these shapes."""
    assert (answer.status, answer.headers["content-type"]) == (200, RAW), answer.body
    values = np.frombuffer(answer.body, "<f4")
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    assert ends[-1] == len(values)
    return [part.reshape(shape) for part, shape in zip(np.split(values, ends[:-1]), shapes, strict=True)]


def look(client: AsgiClient, image: np.ndarray = IMAGE) -> list[np.ndarray]:
    """The pixels, each layer's output and the probabilities, as the page reads them."""
    shapes = [layer["shape"] for layer in client.get("/inside/layers").json["layers"]]
    return floats(client.ask("POST", "/inside/activations", image.tobytes(), RAW), [28, 28], *shapes, [10])


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_each_layer_of_a_preset_answers_what_keras_computes(tmp_path, preset):
    config = params.check(YAML(typ="safe").load(SOURCE / "params.yaml"), "params.yaml").models[preset]
    model, source = serve(config, tmp_path)
    client = AsgiClient(build_app(source, Limits(threads=1), {"localhost"}))
    for image in PIXELS[:2]:
        pixels, *outputs, probabilities = look(client, image)
        expected = run_keras(model, image[np.newaxis])
        assert (pixels == image).all()
        for values, (own,) in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(values, own, atol=1e-4 * max(1, np.abs(own).max()))
        np.testing.assert_allclose(probabilities, source.loaded.model.probabilities(image[np.newaxis])[0], atol=1e-6)


def test_the_layers_are_described(inside, cnn):
    described = inside.get("/inside/layers").json
    assert described["model"] == cnn.loaded.facts
    assert described["versions"] == []  # it isn't registered
    assert [layer["kind"] for layer in described["layers"]] == ["convolution", "convolution", "dense", "output"]
    assert described["layers"][0] | {"steps": [], "field": {}} == {
        "kind": "convolution", "shape": [12, 12, 4], "kernel": [5, 5, 1], "strides": [1, 1], "pads": [0, 0, 0, 0],
        "pool": 2, "bias": False, "steps": [], "field": {},
    }  # fmt: skip


def test_an_image_file_is_prepared_as_for_an_answer(inside):
    (image,) = in_mnist_form(np.zeros((1, 28, 28), np.uint8))
    shapes = [layer["shape"] for layer in inside.get("/inside/layers").json["layers"]]
    seen, *_ = floats(inside.ask("POST", "/inside/activations", encode(image), PNG), [28, 28], *shapes, [10])
    assert (seen == image).all()


def test_one_unit_is_worked_out(inside):
    _, first, *_ = look(inside)
    found = inside.ask("POST", "/inside/unit?layer=0&unit=3&row=2&column=11", IMAGE.tobytes(), RAW).json
    patch, weights = np.array(found["inputs"]), np.array(found["weights"])
    row, column = found["at"]
    np.testing.assert_allclose(patch[..., 0], IMAGE[row : row + 5, column : column + 5] / 255, atol=1e-6)
    assert found["sum"] == pytest.approx((patch * weights).sum() + found["bias"], abs=1e-4)
    assert found["steps"][-1]["value"] == pytest.approx(first[2, 11, 3], abs=1e-6)
    dense = inside.ask("POST", "/inside/unit?layer=2&unit=7", IMAGE.tobytes(), RAW).json
    assert dense["sum"] == pytest.approx(np.dot(dense["inputs"], dense["weights"]) + dense["bias"], abs=1e-3)


def test_weights_are_sent_by_unit_with_the_biases_after_them(inside, cnn):
    kernel, bias = floats(inside.get("/inside/weights?layer=1"), [6, 3, 3, 4], [6])
    expected, of_file = cnn.loaded.units.network.weights[1]
    assert (kernel[5, 2, 1] == expected[5, :, 2, 1]).all()
    assert (bias == of_file).all()


def test_too_many_weights_are_not_sent_together(inside, cnn, monkeypatch):
    large = np.zeros((10, MAX_WEIGHTS // 10 + 1), np.float32)
    monkeypatch.setattr(cnn.loaded.units, "weights", lambda place: (large, large[:, 0]))
    answer = inside.get("/inside/weights?layer=3")
    assert (answer.status, list(answer.json)) == (400, ["error"])


def test_the_losses_are_those_of_the_outputs_sums(inside, cnn):
    answer = inside.ask("POST", "/inside/losses", IMAGE.tobytes(), RAW)
    losses, *_ = floats(answer, [POSITIONS, POSITIONS, 10])
    covered = IMAGE.copy()
    covered[:6, :6] = 0
    network = cnn.loaded.units.network
    ((whole, changed),) = network.compute(np.stack([IMAGE, covered]), [network.layers[-1]["sum"]])
    np.testing.assert_allclose(losses[0, 0], whole - changed, atol=1e-4)


def test_colour_pictures_are_looked_into(picture_client):
    answer = picture_client.ask("POST", "/inside/activations", bytes(720), RAW)
    pixels, probabilities = floats(answer, [12, 20, 3], [4])  # this network's file names no layers
    assert not pixels.any()
    assert probabilities.sum() == pytest.approx(1)


def test_a_version_without_layers_says_so(client):
    assert client.get("/inside/layers").json["layers"] == []
    for method, path in (("GET", "weights?layer=0"), ("POST", "unit?layer=0&unit=0"), ("POST", "losses")):
        answer = client.ask(method, f"/inside/{path}", IMAGE.tobytes(), RAW)
        assert (answer.status, "which registers it again" in answer.json["error"]) == (404, True)


@pytest.mark.parametrize(
    ("path", "body", "kind", "status"),
    [
        ("activations", b"", RAW, 400),
        ("activations", bytes(783), RAW, 400),
        ("activations", bytes(2 * 784), RAW, 400),
        ("activations", b"no image", PNG, 400),
        ("activations", b"[]", JSON, 415),
        ("losses", bytes(783), RAW, 400),
        ("activations?version=1", bytes(784), RAW, 404),
        *((f"unit?{query}", bytes(784), RAW, 400) for query in (
            "", "layer=0", "layer=4&unit=0", "layer=-1&unit=0", "layer=0&unit=4&row=0&column=0", "layer=0&unit=0",
            "layer=0&unit=0&row=12&column=0", "layer=0&unit=0&row=0&column=x", "layer=2&unit=²", "layer=2&unit=8",
            f"layer=2&unit={4400 * '9'}",
        )),
    ],
)  # fmt: skip
def test_a_wrong_request_gets_one_clear_sentence(inside, path, body, kind, status):
    answer = inside.ask("POST", f"/inside/{path}", body, kind)
    assert (answer.status, list(answer.json)) == (status, ["error"])
    assert len(answer.json["error"]) < 250


def test_the_page_is_there(client):
    answer = client.get("/inside")
    assert answer.status == 200
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert b" style=" not in answer.body


def test_another_version_answers_if_it_is_asked_for(cnn, monkeypatch):
    served = replace(cnn.loaded, facts={**cnn.loaded.facts, "name": "dots", "version": "7"})
    monkeypatch.setattr(cnn, "loaded", served)
    asked = []

    def load(versions: Versions, number: str):
        asked.append(number)
        return replace(served, facts={**served.facts, "version": number})

    monkeypatch.setattr(Versions, "load", load)
    monkeypatch.setattr(Versions, "describe", lambda versions: [{"version": "7", "preset": "cnn"}])
    client = AsgiClient(build_app(cnn, Limits(threads=1), {"localhost"}))
    assert client.get("/inside/layers").json["model"]["version"] == "7"
    assert client.get("/inside/layers?version=7").json["model"]["version"] == "7"
    assert asked == []
    assert client.get("/inside/layers?version=2").json["model"]["version"] == "2"
    assert client.ask("POST", "/inside/activations?version=3", IMAGE.tobytes(), RAW).status == 200
    assert asked == ["2", "3"]
    assert client.get("/inside/layers?version=4", Sec_Fetch_Site="cross-site").status == 403  # a foreign page's image
    assert asked == ["2", "3"]


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "status"),
    [
        ("GET", "layers?", None, None, 200),
        ("POST", "activations?", IMAGE.tobytes(), RAW, 200),
        ("POST", "activations?", encode(bar()), PNG, 200),
        ("POST", "activations?", bytes(783), RAW, 400),
        ("POST", "activations?", b"no image", PNG, 400),
        ("POST", "unit?layer=9&", IMAGE.tobytes(), RAW, 400),
    ],
    ids=format_parameter,
)
def test_waiting_requests_for_other_versions_hold_no_models(cnn, monkeypatch, method, path, body, kind, status):
    """Five requests for five versions come at once; whenever a version is fetched, there is only the served one."""
    served = replace(cnn.loaded, facts={**cnn.loaded.facts, "name": "dots", "version": "0"})
    monkeypatch.setattr(cnn, "loaded", served)
    registered = [SimpleNamespace(version=number, tags={"model": "cnn"}) for number in range(1, 6)]
    monkeypatch.setattr(Versions, "_find_versions", lambda _: registered)
    fetched: list[weakref.ref[LoadedModel]] = []
    counts = []

    def fetch(version, alias) -> LoadedModel:
        counts.append(sum(model() is not None for model in fetched))
        facts = {**served.facts, "version": str(version.version)}
        model = replace(served, facts=facts, identity=version_identity(version))
        fetched.append(weakref.ref(model))
        return model

    async def ask() -> list[Answer]:
        app = build_app(cnn, Limits(threads=1), {"localhost"})
        paths = [f"/inside/{path}version={number}" for number in range(1, 6)]
        return await asyncio.gather(*(ask_asgi(app, method, path, body, kind) for path in paths))

    monkeypatch.setattr(versions, "fetch_version", fetch)
    answers = asyncio.run(ask())
    assert [answer.status for answer in answers] == [status] * 5
    assert len(counts) >= 5
    assert set(counts) == {0}
