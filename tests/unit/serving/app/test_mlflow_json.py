"""MLflow's four JSON forms: which input is accepted, and one clear sentence for any other input."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.app import mlflow_json
from serving.app.mlflow_json import MAX_NESTED_VALUES, count_signs
from serving.model import MAX_IMAGES, MAX_VALUES, describe
from tests.helpers.client import JSON
from tests.helpers.parameters import format_parameter

IMAGE = [[0] * 28] * 28
FLAT = [0] * 784
MAX_NESTED_IMAGES = MAX_NESTED_VALUES // 784
BRACKETS, COMMAS = count_signs((28, 28), MAX_IMAGES)


def model_of(shape: tuple[int, ...]) -> SimpleNamespace:
    """What the parser needs from a model."""
    most = min(MAX_IMAGES, MAX_VALUES // math.prod(shape))
    return SimpleNamespace(shape=shape, max_images=most, expected=describe(shape, is_ink=shape == (28, 28)))


def parse(body: bytes, shape: tuple[int, ...] = (28, 28)) -> tuple[dict, int]:
    return mlflow_json.parse(body, model_of(shape))


def nested(depth: int) -> bytes:
    return b'{"inputs":' + b"[" * depth + b"]" * depth + b"}"


def inputs(*pixels: object) -> bytes:
    """One image that begins with these pixels."""
    row = [*pixels, *[0] * (28 - len(pixels))]
    return json.dumps({"inputs": [[row, *IMAGE[1:]]]}).encode()


@pytest.mark.parametrize(
    ("body", "kind", "status", "message"),
    [
        (inputs(256), JSON, 400, "from 0 (background) to 255 (ink)"),
        (inputs(-1), JSON, 400, "from 0 (background) to 255 (ink)"),
        (inputs(float("nan")), JSON, 400, "got NaN"),
        (inputs(float("inf")), JSON, 400, "got Infinity"),
        (inputs(float("-inf")), JSON, 400, "got -Infinity"),
        (inputs().replace(b"[0,", b"[1e999,", 1).replace(b"[0, ", b"[1e999, ", 1), JSON, 400, "a number outside"),
        (inputs(10**400), JSON, 400, "a number outside"),
        (inputs().replace(b"[0, ", b"[1" + b"0" * 5000 + b", ", 1), JSON, 400, "not JSON"),
        (inputs(1), JSON, 400, "numbers from 0 to 1 alone: multiply them by 255"),
        (inputs(0.25), JSON, 400, "numbers from 0 to 1 alone: multiply them by 255"),
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
        (b'{"dataframe_split": []}', JSON, 400, "data, columns with one name"),
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
    ids=format_parameter,
)  # fmt: skip
def test_wrong_json_gets_one_clear_sentence(client, body, kind, status, message):
    answer = client.ask("POST", "/invocations", body, kind)
    assert (answer.status, list(answer.json)) == (status, ["error"])
    assert message in answer.json["error"]
    assert len(answer.json["error"]) < 250


def test_json_in_another_charset_is_refused(client):
    answer = client.ask("POST", "/invocations", inputs(), "application/json; charset=utf-16")
    assert (answer.status, list(answer.json)) == (415, ["error"])


def as_rows(count: int) -> dict:
    return {"dataframe_split": {"columns": ["pixels"], "data": [[FLAT]] * count}}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"inputs": [IMAGE]}, {"inputs": [IMAGE]}),
        ({"instances": [IMAGE] * MAX_NESTED_IMAGES, "params": None}, {"instances": [IMAGE] * MAX_NESTED_IMAGES}),
        ({"inputs": [IMAGE] * (MAX_NESTED_IMAGES + 1)}, as_rows(MAX_NESTED_IMAGES + 1)),
        ({"dataframe_split": {"data": [[FLAT]]}}, as_rows(1)),
        ({"dataframe_split": {"columns": ["x"], "index": [7, 8], "data": [[FLAT], [FLAT]]}}, as_rows(2)),
        ({"dataframe_records": [{"x": FLAT}] * 3}, as_rows(3)),
    ],
    ids=lambda content: str(content)[:40],
)
def test_each_form_is_given_to_mlflow_as_it_takes_it_soonest(content, expected):
    parsed, count = parse(json.dumps(content).encode())
    assert parsed == expected
    assert count == len(next(iter(content.values()))) or "dataframe_split" in content


def test_the_pixels_keep_their_order_when_rows_are_made_of_them():
    images = [[[(28 * y + x + n) % 256 for x in range(28)] for y in range(28)] for n in range(MAX_NESTED_IMAGES + 1)]
    parsed, count = parse(json.dumps({"inputs": images}).encode())
    assert count == len(images)
    assert parsed["dataframe_split"]["data"] == [[[(place + n) % 256 for place in range(784)]] for n in range(count)]


def test_as_many_images_are_taken_as_the_limit_says_in_each_form():
    most = MAX_IMAGES
    for content in (
        {"inputs": [IMAGE] * most},
        {"dataframe_split": {"columns": ["x"], "data": [[FLAT]] * most}},
        {"dataframe_records": [{"x": FLAT}] * most},
    ):
        assert parse(json.dumps(content).encode())[1] == most


def test_the_darkest_and_the_lightest_pixel_are_taken():
    assert parse(inputs(0, 255, 0.5, 255.0))[1] == 1


def test_params_are_no_form_of_their_own():
    with pytest.raises(mlflow_json.FormError, match="one of inputs, instances"):
        parse(b'{"params": {}}')


@pytest.mark.parametrize(("sign", "most"), [(b",", COMMAS), (b"[", BRACKETS)], ids=["commas", "brackets"])
def test_a_body_may_have_just_as_many_values_as_are_allowed(sign, most):
    with pytest.raises(mlflow_json.FormError, match="is not JSON"):
        parse(sign * most)
    with pytest.raises(mlflow_json.FormError, match="too many values"):
        parse(sign * (most + 1))


shapes = st.tuples(st.integers(1, 40), st.integers(1, 40)) | st.tuples(
    st.integers(1, 24), st.integers(1, 24), st.just(3)
)


@settings(max_examples=40, deadline=None)
@given(shapes, st.integers(1, 5), st.integers(0, 2**32))
def test_all_forms_of_all_shapes_give_mlflow_the_same_images(shape, count, seed):
    images = np.random.default_rng(seed).integers(0, 256, (count, *shape))
    images[:, 0, 0] = 255  # images with only 0 and 1 would be refused
    rows = images.reshape(count, -1).tolist()
    for content in (
        {"inputs": images.tolist()},
        {"instances": images.tolist()},
        {"dataframe_split": {"columns": ["x"], "data": [[row] for row in rows]}},
        {"dataframe_records": [{"x": row} for row in rows]},
    ):
        parsed, number = parse(json.dumps(content).encode(), shape)
        (values,) = parsed.values()
        assert number == count
        assert np.reshape(values["data"] if type(values) is dict else values, images.shape).tolist() == images.tolist()


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 3)])
def test_as_many_images_of_a_shape_are_taken_as_the_limit_says_and_no_more(shape):
    model = model_of(shape)
    image = np.full(shape, 9).tolist()
    assert parse(json.dumps({"inputs": [image] * model.max_images}).encode(), shape)[1] == model.max_images
    for more in (model.max_images + 1, 2 * model.max_images + 50):
        with pytest.raises(mlflow_json.FormError, match=f"at most {model.max_images:,} "):
            parse(json.dumps({"inputs": [image] * more}).encode(), shape)


def test_wrong_colour_pictures_get_a_sentence_that_says_their_shape(picture_client):
    right = np.full((1, 12, 20, 3), 9)
    for wrong in (right[0], right[..., :2], right[..., 0], right.reshape(1, -1), right[:, :, :19]):
        answer = picture_client.invoke({"inputs": wrong.tolist()})
        assert answer.status == 400
        assert (
            "images of 12×20×3 values (height, width, red green blue), each a number from 0 (dark) to 255 (light)"
            in (answer.json["error"])
        )
        assert answer.json["error"].endswith("in a list [n][12][20][3]")
    answer = picture_client.invoke({"dataframe_records": [{"x": [1, 2]}]})
    assert answer.json["error"].endswith("in n rows of one column that holds 720 numbers")


@pytest.mark.parametrize("count", [1, 23])  # nested, and as flat rows
def test_colour_pictures_in_each_form_are_answered_alike(picture_client, pictures, count):
    images = np.random.default_rng(0).integers(0, 256, (count, 12, 20, 3))
    expected = {"predictions": pictures.loaded.model.predict(None, images)}
    rows = images.reshape(count, -1).tolist()
    for content in (
        {"inputs": images.tolist()},
        {"instances": images.tolist()},
        {"dataframe_split": {"data": [[row] for row in rows]}},
        {"dataframe_records": [{"x": row} for row in rows]},
    ):
        assert picture_client.invoke(content).json == expected
