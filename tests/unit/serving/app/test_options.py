"""The app's command line."""

from dataclasses import fields
from pathlib import Path

import pytest

from serving import environment
from serving.app.limits import Limits, Sampling
from serving.app.options import flag, parse_options


def test_without_options_it_serves_the_champion_on_the_loopback(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "REGISTRATION", tmp_path / "registry.json")
    options = parse_options([])
    assert (options.model, options.host, options.port) == ("models:/mnist@champion", "127.0.0.1", 8000)
    assert (options.allow_host, options.poll_seconds, options.limits) == ([], 2.0, Limits())
    assert options.sampling is None


def test_images_are_kept_where_a_folder_is_named():
    assert parse_options(["--sample-folder", "a/b"]).sampling == Sampling(Path("a/b"), 0.01, 30)
    options = parse_options(["--sample-folder=a", "--sample-share=1", "--sample-days=0.5"])
    assert options.sampling == Sampling(Path("a"), 1, 0.5)


def test_images_are_not_kept_for_ever(capsys):
    with pytest.raises(SystemExit):
        parse_options(["--sample-days=inf"])
    assert "--sample-days inf: at most 36500 days are expected" in capsys.readouterr().err


@pytest.mark.parametrize("share", ["0", "-1", "1.1", "nan"])
def test_a_share_is_one(share, capsys):
    with pytest.raises(SystemExit):
        parse_options([f"--sample-share={share}"])
    assert f"--sample-share {float(share)}: a " in capsys.readouterr().err


@pytest.mark.parametrize("field", fields(Limits), ids=lambda field: field.name)
def test_each_limit_is_an_option(field):
    limits = parse_options([flag(field.name), "7"]).limits
    assert limits == Limits(**{field.name: 7})
    assert type(getattr(limits, field.name)) is field.type


def test_names_may_be_allowed_one_by_one():
    assert parse_options(["--allow-host", "a", "--allow-host", "b", "folder"]).allow_host == ["a", "b"]


@pytest.mark.parametrize("host", ["*", "digits.example", "10.0.0.7", "::1", "[::1]"])
def test_a_host_is_a_name_an_address_or_any(host):
    assert parse_options(["--allow-host", host]).allow_host == [host]


@pytest.mark.parametrize("host", ["digits.example:8443", "https://digits.example", "[::1]:80", "", "a b"])
def test_a_host_that_no_request_could_match_is_refused(host, capsys):
    with pytest.raises(SystemExit):
        parse_options(["--allow-host", host])
    assert f"--allow-host {host}: a name or an address without scheme and port" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["threads", "files", "body-bytes", "held-bytes", "body-seconds", "poll-seconds"])
@pytest.mark.parametrize("value", ["0", "-1"])
def test_a_limit_that_lets_nothing_through_is_refused(name, value, capsys):
    with pytest.raises(SystemExit) as ended:
        parse_options([f"--{name}={value}"])
    assert ended.value.code == 2
    number = float(value) if name.endswith("seconds") else value
    expected = f"--{name} {number}: a positive number is expected"
    assert capsys.readouterr().err.splitlines()[-1].endswith(expected)


def test_no_queue_and_any_free_port_are_allowed():
    options = parse_options(["--queue", "0", "--port", "0"])
    assert (options.limits.queue, options.port) == (0, 0)
