"""The served model: what it answers, what it refuses, and how it checks itself."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from serving import model as served
from serving.images import Form
from serving.model import Classifier
from tests.helpers.models import bright_values, load_model, write_artifacts
from tests.helpers.networks import write_onnx


@pytest.fixture
def small(tmp_path: Path) -> Callable[[], Classifier]:
    """Load a network whose answer is the place of the bright pixel; the test may break its two files."""
    files = write_artifacts(tmp_path)

    return lambda: load_model(files)


def test_many_images_are_answered_in_slices_as_each_by_itself(small, monkeypatch):
    model, sizes = small(), []
    run = model.session.run
    monkeypatch.setattr(
        model, "session", SimpleNamespace(run=lambda _, feed: sizes.append(len(feed["pixels"])) or run(None, feed))
    )
    pixels = np.random.default_rng(0).integers(0, 256, (served.MAX_IMAGES, 28, 28), np.uint8)
    together = model.probabilities(pixels)
    assert together.dtype == np.float32
    assert (sum(sizes), max(sizes)) == (len(pixels), 25)
    np.testing.assert_allclose(
        np.concatenate([model.probabilities(image[None]) for image in pixels]), together, atol=1e-6
    )
    answers = model.predict(None, pixels)
    assert [answer["probabilities"] for answer in answers] == together.tolist()
    assert [int(answer["label"]) for answer in answers] == together.argmax(axis=1).tolist()
    assert [answer["confidence"] for answer in answers] == together.max(axis=1).tolist()


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((1001, 28, 28)), "shape (1001, 28, 28)"),
        (np.zeros((0, 28, 28)), "shape (0, 28, 28)"),
        (np.zeros((1, 28, 29)), "shape (1, 28, 29)"),
        (np.zeros((28, 28)), "shape (28, 28)"),
        (np.full((1, 28, 28), np.nan), "none at all (NaN)"),
        (np.full((1, 28, 28), 255.5), "a value outside"),
        (np.full((1, 28, 28), -0.5), "a value outside"),
        ([[["x"] * 28] * 28], "no array of numbers"),
        ([[[0] * 28] * 27 + [[0] * 27]], "no array of numbers"),
    ],
    ids=str,
)
def test_what_is_no_batch_of_images_is_a_400_on_either_way_in(small, pixels, message):
    model = small()
    for answer in (model.probabilities, lambda pixels: model.predict(None, pixels)):
        with pytest.raises(MlflowException, match="expected 1 to 1,000 images of 28×28 pixels") as error:
            answer(pixels)
        assert message in error.value.message
        assert error.value.get_http_status_code() == 400


def test_the_darkest_and_the_lightest_pixel_are_taken(small):
    model = small()
    assert model.probabilities(np.zeros((1, 28, 28))).shape == (1, 10)
    assert model.probabilities(np.full((1, 28, 28), 255)).shape == (1, 10)


@pytest.mark.parametrize("level", [0.1, 1])
@pytest.mark.parametrize("kind", [np.float32, np.uint8, list])
def test_pixels_scaled_to_1_are_a_400(small, level, kind):
    pixels = np.stack([np.zeros((28, 28)), np.eye(28) * level])
    images = pixels.tolist() if kind is list else np.ceil(pixels).astype(kind) if kind is np.uint8 else pixels
    with pytest.raises(MlflowException, match="got numbers from 0 to 1 alone: multiply them by 255") as error:
        small().predict(None, images)
    assert error.value.get_http_status_code() == 400


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float16, np.float64])
def test_numbers_of_any_type_are_taken(small, kind):
    pixels = np.zeros((2, 28, 28), kind)
    pixels[0, 0, 4] = 255  # next to it is a blank image
    assert small().predict(None, pixels)[0]["label"] == "4"


def test_a_model_names_the_file_that_it_runs(small, tmp_path):
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


@pytest.mark.parametrize(
    ("form", "classes", "most", "expected"),
    [
        (Form(28, 28, 1, "ink"), 10, 1000, "images of 28×28 pixels, each a number from 0 (background) to 255 (ink)"),
        (Form(8, 12, 1, "pad"), 2, 1000, "images of 8×12 pixels, each a number from 0 (dark) to 255 (light)"),
        (Form(32, 32, 3, "crop"), 200, 325, "images of 32×32×3 values (height, width, red green blue)"),
        (Form(100, 100, 3, "crop"), 2, 33, "images of 100×100×3 values"),
    ],
    ids=str,
)
def test_shape_names_and_limits_are_those_of_the_golden_images(form, classes, most, expected, tmp_path):
    names = [f"class {number}" for number in range(classes)]
    model = load_model(write_artifacts(tmp_path, form, names))
    assert (model.shape, model.class_names, model.max_images) == (form.shape, names, most)
    asked = bright_values(form, classes)[-1:]
    (answer,) = model.predict(None, asked)
    assert (answer["label"], len(answer["probabilities"])) == (names[-1], classes)
    assert len(model.probabilities(np.repeat(asked, min(most, 30), axis=0))) == min(most, 30)
    for wrong in (asked[0], asked[:, 1:], asked.reshape(1, -1), np.repeat(asked, most + 1, axis=0)):
        with pytest.raises(MlflowException, match="expected 1 to") as error:
            model.predict(None, wrong)
        assert expected in error.value.message


def test_names_that_are_not_as_many_as_the_network_answers_do_not_start(small, tmp_path):
    golden = json.loads((tmp_path / "golden.json").read_text())
    golden["class_names"].pop()
    (tmp_path / "golden.json").write_text(json.dumps(golden))
    with pytest.raises(MlflowException, match=r"answers 10 classes, and golden.json names 9"):
        small()
