"""MLflow's four JSON forms: what is taken, and one clear sentence for all else."""

import json

import pytest

from serving.app import mlflow_json
from serving.app.mlflow_json import MAX_NESTED_IMAGES, parse
from tests.helpers.client import JSON
from tests.helpers.parameters import format_parameter

IMAGE = [[0] * 28] * 28
FLAT = [0] * 784


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
    most = mlflow_json.MAX_IMAGES
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


@pytest.mark.parametrize(
    ("sign", "most"), [(b",", mlflow_json.MAX_COMMAS), (b"[", mlflow_json.MAX_BRACKETS)], ids=["commas", "brackets"]
)
def test_a_body_may_have_just_as_many_values_as_are_allowed(sign, most):
    with pytest.raises(mlflow_json.FormError, match="is not JSON"):
        parse(sign * most)
    with pytest.raises(mlflow_json.FormError, match="too many values"):
        parse(sign * (most + 1))
