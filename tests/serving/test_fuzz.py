"""Whatever is sent to any route gets an answer in the documented form, never a crash; memory does not grow.

FUZZ_CASES sets how many requests each test generates (by default 50).
"""

import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.client import JSON, PNG, RAW, multipart
from tests.helpers.pictures import bar, encode
from tests.helpers.routes import list_paths

CASES = int(os.environ.get("FUZZ_CASES", "50"))
# The app is a fixture for all cases, but one case can't leave it in another state for the next case.
fuzz = settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))

FORMS = ("inputs", "instances", "dataframe_split", "dataframe_records")
KINDS = (RAW, JSON, PNG, "image/jpeg", "multipart/form-data; boundary=frontier", "multipart/form-data", "text/csv",
         "application/json; charset=x", "application/vnd.apache.parquet", "", ";", "image/png; x=\"")  # fmt: skip
PATHS = (*list_paths(), "/page/style.css", "/page/", "/docs", "/openapi.json")
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")

numbers = st.integers(-1, 256) | st.integers() | st.floats()
scalars = st.none() | st.booleans() | numbers | st.text(max_size=8)
anything = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner))
rows = st.lists(numbers, min_size=28, max_size=28)
nearly_images = st.lists(st.one_of(rows, rows, st.lists(scalars, max_size=30)), min_size=27, max_size=29)
values = anything | st.lists(nearly_images, max_size=2) | st.lists(st.lists(st.lists(numbers, max_size=3)), max_size=3)
frames = st.fixed_dictionaries({"data": values}, optional={"columns": anything, "index": anything})
bodies = st.dictionaries(st.sampled_from((*FORMS, "params", "input", "x")), values | frames, max_size=2) | anything


@pytest.fixture(scope="module", autouse=True)
def bounded(app):
    """The memory of the app grows by less than a tenth."""
    app.invoke({"inputs": np.zeros((1000, 28, 28), int).tolist()})
    before = app.memory
    yield
    assert app.memory < before * 1.1
    assert "Traceback" not in app.log


def check(answer, allowed: set[int]) -> None:
    """The answer must have one of these statuses; an error must be one sentence."""
    assert answer.status in allowed, (answer.status, answer.body)
    if answer.status >= 400 and answer.body:
        assert len(answer.body) < 300
        # For files, Starlette refuses a wrong Range with its own message.
        assert answer.headers["content-type"].startswith("text/plain") or list(answer.json) == ["error"]


@fuzz
@given(bodies)
def test_json(app, content):
    check(app.invoke(content), {200, 400})


@fuzz
@given(st.binary(max_size=3000), st.sampled_from(FORMS))
def test_bytes_for_json(app, data, form):
    check(app.ask("POST", "/invocations", data, JSON), {400})
    check(app.ask("POST", "/invocations", b'{"%s": [[[%s]]]}' % (form.encode(), data), JSON), {400})


@fuzz
@given(st.binary(max_size=3000) | st.integers(0, 5).map(lambda n: bytes(n * 784)))
def test_raw_bytes(app, data):
    answer = app.predict(data)
    check(answer, {200} if data and len(data) % 784 == 0 else {400})


IMAGES = {PNG: encode(bar(), "PNG"), "image/jpeg": encode(bar(), "JPEG")}


@fuzz
@given(st.data())
def test_damaged_images(app, data):
    """A valid file with some bytes changed, possibly cut off, sent with either file name."""
    content = bytearray(data.draw(st.sampled_from(list(IMAGES.values()))))
    for _ in range(data.draw(st.integers(0, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(content[: data.draw(st.integers(0, len(content)))])
    check(app.predict(content, data.draw(st.sampled_from(list(IMAGES)))), {200, 400})


@fuzz
@given(st.data())
def test_multipart(app, data):
    """Several files with any names, after which some bytes are changed."""
    names = data.draw(st.lists(st.text(max_size=20), max_size=4))
    content, kind = multipart([(name, data.draw(st.sampled_from(list(IMAGES.values())))) for name in names])
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(0, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    check(app.predict(bytes(damaged), kind), {200, 400})


header_text = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30)


@fuzz
@given(
    st.sampled_from(METHODS),
    st.sampled_from(PATHS) | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30).map("/".__add__),
    st.binary(max_size=900) | st.sampled_from(list(IMAGES.values())) | st.just(json.dumps({"inputs": []}).encode()),
    st.sampled_from(KINDS) | header_text.map(str.strip),
    st.dictionaries(st.sampled_from(("Accept", "Range", "Origin", "If-None-Match", "Content-Encoding")), header_text),
)
def test_any_method_on_any_path(app, method, path, body, kind, headers):
    headers = {name: value.strip() for name, value in headers.items()}
    statuses = {200, 206, 304, 307, 400, 403, 404, 405, 415, 416}
    check(app.ask(method, path, body if method != "HEAD" else None, kind, **headers), statuses)
