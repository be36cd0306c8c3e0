"""Each answer has the headers that isolate the page from other sites."""

import pytest

from serving.app.middleware.security_headers import HEADERS


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 200),
        ("GET", "/page/style.css", {}, 200),
        ("GET", "/nowhere", {}, 404),
        ("POST", "/predict", {}, 415),
        ("GET", "/", {"Host": "evil.example"}, 400),
    ],
)
def test_each_answer_has_them(client, method, path, headers, status):
    answer = client.ask(method, path, **headers)
    assert answer.status == status
    for name, value in HEADERS:
        assert answer.headers[name.decode()] == value.decode()
