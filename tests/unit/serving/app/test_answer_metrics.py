"""What /metrics says about answers and their images, and when it says that they drift."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import drift as benchmark
from pipeline.evaluation import doubt, drift
from serving.app.answer_metrics import MAX_NAMED_CLASSES, OTHERS, WINDOW
from serving.app.asgi import build_app
from serving.app.limits import Limits
from serving.app.metrics import Metrics
from serving.app.routes import Routes
from serving.doubt import CLOSE, NOTHING, SEVERAL, UNLIKE
from serving.images import Form
from serving.model_source import ModelSource
from tests.helpers.client import AsgiClient
from tests.helpers.deployment import read_expressions
from tests.helpers.models import save_model, write_artifacts

LIMIT = 0.25  # of the alert


def draw(count: int, seed: int) -> np.ndarray:
    """Bars of many heights and shades, each with a dot that marks its class: uint8 [count, 28, 28]."""
    random = np.random.default_rng(seed)
    pixels = np.zeros((count, 28, 28), np.uint8)
    for image in pixels:
        image[14 - random.integers(2, 10) : 14 + random.integers(2, 10), 12:16] = random.integers(100, 256)
        image[0, random.integers(10)] = 255
    return pixels


@pytest.fixture(scope="module")
def reference(source) -> dict:
    images = draw(1000, seed=0)
    return drift.fit(images, source.loaded.model.probabilities(images), is_ink=True)


@pytest.fixture
def watched(source, reference, monkeypatch) -> ModelSource:
    """A model that knows which values are usual."""
    monkeypatch.setitem(source.loaded.model.golden, "reference", reference)
    monkeypatch.setattr(source, "loaded", replace(source.loaded))
    return source


@pytest.fixture
def client(watched) -> AsgiClient:
    return AsgiClient(build_app(watched, Limits(threads=1), {"*"}))


def read(client: AsgiClient, name: str) -> dict[str, float]:
    """Return the samples of a metric by the value of its last label, or by "" if it has none."""
    text = client.get("/metrics").body.decode()
    found = re.findall(rf'^{name}(?:{{(?:.*,)?\w+="((?:[^"\\]|\\.)*)"}})? (\S+)$', text, re.MULTILINE)
    return {label: float(value) for label, value in found}


def ask(client: AsgiClient, images: np.ndarray) -> None:
    assert client.predict(images.tobytes()).status == 200


def test_answers_are_counted_by_class_and_confidence_by_each_way_in(client):
    images = np.zeros((5, 28, 28), np.uint8)
    images[range(5), 0, [1, 2, 2, 9, 9]] = 255
    ask(client, images[:2])
    ask(client, images[2:3])
    assert client.invoke({"inputs": images[3:].tolist()}).status == 200
    answers = read(client, "digits_answers_total")
    assert answers == {str(n): {1: 1, 2: 2, 9: 2}.get(n, 0) for n in range(10)}
    assert read(client, "digits_confidence_count") == {"": 5}
    assert read(client, "digits_confidence_bucket")["+Inf"] == 5
    assert read(client, "digits_image_statistic_count") == dict.fromkeys(
        ("brightness", "contrast", "row", "column", "height", "width"), 5
    )


def test_what_is_refused_is_not_counted(client):
    assert client.invoke({"inputs": [[[1]]]}).status == 400
    assert client.predict(bytes(783)).status == 400
    assert read(client, "digits_answers_total") == {}


def test_unsure_answers_are_counted_by_their_reason(client, watched, monkeypatch):
    images = draw(200, seed=0)
    usual = doubt.fit(images, watched.loaded.model.probabilities(images), is_ink=True)
    monkeypatch.setitem(watched.loaded.model.golden, "usual", usual)
    watched.loaded.__dict__.pop("usual", None)
    ask(client, np.concatenate([images[:3], np.zeros((2, 28, 28), np.uint8)]))
    judged = read(client, "digits_judged_answers_total")
    assert judged == {"sure": 3, NOTHING: 2, SEVERAL: 0, CLOSE: 0, UNLIKE: 0}


def test_there_is_no_drift_before_the_window_is_full_and_then_only_if_images_change(client):
    usual = draw(2 * WINDOW, seed=1)
    ask(client, usual[: WINDOW - 1])
    assert read(client, "digits_drift") == {}
    assert read(client, "digits_drift_window_images") == {"": WINDOW - 1}
    ask(client, usual[WINDOW - 1 : WINDOW])
    assert read(client, "digits_drift").keys() == {
        "class", "confidence", "brightness", "contrast", "row", "column", "height", "width"
    }  # fmt: skip
    ask(client, usual[WINDOW:])
    assert max(read(client, "digits_drift").values()) < LIMIT
    ask(client, 255 - draw(WINDOW // 2, seed=2))
    assert read(client, "digits_drift")["brightness"] > LIMIT
    ask(client, draw(WINDOW, seed=3))
    assert max(read(client, "digits_drift").values()) < LIMIT


def test_images_that_are_moved_drift_though_they_are_as_bright_and_as_large(client):
    moved = draw(WINDOW, seed=1)
    moved[:, 1:] = np.roll(moved[:, 1:], 4, axis=2)
    ask(client, moved)
    drifted = read(client, "digits_drift")
    assert drifted["column"] > LIMIT
    assert max(drifted["brightness"], drifted["height"], drifted["width"], drifted["row"]) < LIMIT


def test_one_class_alone_drifts(client):
    images = draw(WINDOW, seed=1)
    images[:, 0] = images[0, 0]
    ask(client, images)
    assert read(client, "digits_drift")["class"] > LIMIT


def test_another_version_begins_anew(client, watched):
    ask(client, draw(WINDOW, seed=1))
    assert read(client, "digits_drift")
    watched.loaded = replace(watched.loaded)
    ask(client, draw(3, seed=1))
    assert read(client, "digits_drift") == {}
    assert sum(read(client, "digits_answers_total").values()) == 3
    assert read(client, "digits_images_total") == {"": WINDOW + 3}


def test_a_request_that_ends_on_the_model_before_is_not_counted_with_the_present_one(watched):
    metrics, old, images = Metrics(), watched.loaded, draw(3, seed=0)
    routes = Routes(watched, metrics, Limits(threads=1))
    watched.loaded = replace(old)
    routes.observe(watched.loaded, images, old.model.predict(None, images))
    routes.observe(old, images[:1], old.model.predict(None, images[:1]))
    assert metrics.registry.get_sample_value("digits_confidence_count") == 3


def test_a_version_without_reference_or_with_other_statistics_is_counted_all_the_same(source, watched, monkeypatch):
    for reference in (None, {"later": {"edges": [1], "counts": [1, 2]}}):
        monkeypatch.setitem(source.loaded.model.golden, "reference", reference)
        client = AsgiClient(build_app(source, Limits(threads=1), {"*"}))
        ask(client, draw(WINDOW, seed=1))
        assert read(client, "digits_drift") == {}
        assert sum(read(client, "digits_answers_total").values()) == WINDOW


def test_classes_beyond_a_hundred_are_counted_together(tmp_path):
    names = [f'class "{number}"' for number in range(MAX_NAMED_CLASSES + 20)]
    form = Form(12, 20, 1, "stretch")
    source = ModelSource(str(save_model(tmp_path / "saved", write_artifacts(tmp_path, form, names), form)))
    client = AsgiClient(build_app(source, Limits(threads=1), {"*"}))
    images = np.zeros((120, 240), np.uint8)
    images[range(120), range(120)] = 255
    ask(client, images)
    counted = read(client, "digits_answers_total")
    assert len(counted) == MAX_NAMED_CLASSES + 1
    assert counted[OTHERS] == 20
    assert counted[json.dumps(names[3])[1:-1]] == 1


def test_colour_pictures_are_described_by_their_colour_too(pictures, picture_client, monkeypatch):
    form, random = pictures.loaded.form, np.random.default_rng(0)
    warm = random.integers(0, 128, (600, *form.shape)).astype(np.uint8)
    warm[..., 0] += 100
    reference = drift.fit(warm, pictures.loaded.model.probabilities(warm), is_ink=False)
    monkeypatch.setitem(pictures.loaded.model.golden, "reference", reference)
    client = AsgiClient(build_app(pictures, Limits(threads=1), {"*"}))
    ask(client, warm[:WINDOW])
    assert max(read(client, "digits_drift").values()) < LIMIT
    ask(client, np.ascontiguousarray(warm[:WINDOW, ..., ::-1]))  # blue, green, red
    assert read(client, "digits_drift")["warmth"] > LIMIT


def test_alerts_and_dashboard_ask_for_metrics_and_labels_that_exist(client):
    ask(client, draw(WINDOW, seed=1))
    ask(client, np.zeros((1, 28, 28), np.uint8))
    text = client.get("/metrics").body.decode()
    for expression in read_expressions():
        for name, labels in re.findall(r"((?:digits|process)_\w+)(?:{(.*?)})?", expression):
            (sample, *_) = re.findall(rf"^{name}(?:{{(.*)}})? ", text, re.MULTILINE)
            asked = set(re.findall(r"(\w+)[=!]~?\"", labels)) - {"job", "instance"}  # which Prometheus adds
            assert asked <= set(re.findall(r'(\w+)="', sample)), expression


def test_the_alert_has_the_limit_that_is_measured():
    assert f"digits_drift) > {LIMIT}" in " ".join(read_expressions())
    assert benchmark.LIMIT == LIMIT
