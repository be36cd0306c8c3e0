"""Requests with a foreign host name or from a foreign page are refused."""

import pytest

from serving.app.asgi import build_app
from serving.app.limits import Limits
from serving.app.middleware.refusals import Refusals
from serving.app.middleware.trusted_clients import TrustedClients
from tests.helpers.client import AsgiClient


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "LOCALHOST"}, 200),
        ({"Host": "[::1]:80"}, 200),
        ({"Host": "evil.example"}, 400),
        ({"Host": "127.0.0.1.evil.example"}, 400),
        ({"Host": "evil.example:80@127.0.0.1"}, 400),
        ({"Host": ""}, 400),
        ({"Host": "localhost:8000", "Origin": "http://localhost:8000", "Sec_Fetch_Site": "same-origin"}, 200),
        ({"Sec_Fetch_Site": "none"}, 200),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Host": "localhost:8000", "Origin": "http://localhost:5000"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content_Encoding": "gzip"}, 415),
        ({"Content_Encoding": "identity"}, 200),
    ],
    ids=str,
)
def test_only_this_servers_own_pages_and_programs_are_answered(client, headers, status):
    answer = client.predict(bytes(784), **headers)
    assert answer.status == status, answer.body
    assert "evil" not in answer.body.decode()
    assert "x-content-type-options" in answer.headers


def test_a_foreign_page_may_link_here_but_by_no_foreign_name(client):
    foreign = {"Origin": "http://evil.example", "Sec_Fetch_Site": "cross-site"}
    assert client.get("/", **foreign).status == 200
    assert client.get("/", Host="evil.example").status == 400


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_are_answered_by_whatever_address_they_call(client, path):
    assert client.get(path, Host="10.244.1.7:8000").status == 200
    assert client.ask("HEAD", path, Host="10.244.1.7:8000").status == 200
    assert client.get("/ping", Host="10.244.1.7:8000").status == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        # nginx with `proxy_set_header Host $http_host` and --allow-host; and nginx's default, the name of its upstream
        ({"Host": "digits.example:8443", "Origin": "https://digits.example:8443"}, 200),
        ({"Host": "localhost:8000", "Origin": "https://digits.example:8443"}, 403),
    ],
)
def test_behind_a_proxy_the_page_works_if_the_host_header_is_passed_on(source, headers, status):
    answer = AsgiClient(build_app(source, Limits(threads=1), {"localhost", "digits.example"})).predict(
        bytes(784), Sec_Fetch_Site="same-origin", **headers
    )
    assert answer.status == status
    assert status == 200 or "a proxy has to pass the Host header on" in answer.json["error"]


def test_a_star_allows_any_name():
    async def app(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})

    asked = AsgiClient(Refusals(TrustedClients(app, {"*"})))
    assert asked.get("/", Host="evil.example").status == 204
    assert asked.predict(b"", Origin="http://evil.example").status == 403
