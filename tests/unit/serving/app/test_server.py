"""Which names the server has, and where it listens."""

import socket

import pytest

from serving.app.options import host_header, parse_options
from serving.app.server import LOOPBACK, allowed_hosts, bind, make_folder, warn_if_exposed


def test_it_may_be_called_by_the_loopbacks_names_its_own_and_those_allowed():
    options = parse_options(["--host", "Server.Example", "--allow-host", "Digits.Example", "--allow-host", "::2"])
    assert allowed_hosts(options) == LOOPBACK | {"server.example", "digits.example", "[::2]"}


@pytest.mark.parametrize(("host", "header"), [("::1", "[::1]"), ("10.0.0.1", "10.0.0.1"), ("LOCALHOST", "localhost")])
def test_an_address_is_written_as_in_a_host_header(host, header):
    assert host_header(host) == header


@pytest.mark.parametrize("host", ["localhost", "::1", "127.0.0.1", "127.8.9.1"])
def test_the_loopback_is_not_warned_of(host, capsys):
    warn_if_exposed(host)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_any_other_address_is_warned_of(host, capsys):
    warn_if_exposed(host)
    assert capsys.readouterr().err.startswith(f"warning: listening on {host}: ")


def test_a_bound_socket_does_not_listen_yet():
    with bind("127.0.0.1", 0) as listener, socket.socket() as client:
        assert client.connect_ex(listener.getsockname()) != 0


def test_an_address_that_is_not_this_machines_ends_with_what_to_do():
    with pytest.raises(SystemExit, match=r"error: can't listen on 192\.0\.2\.1:8000: .* --port"):
        bind("192.0.2.1", 8000)


def test_a_port_in_use_ends_with_what_to_do():
    with bind("127.0.0.1", 0) as listener:
        listener.listen()
        with pytest.raises(SystemExit, match="--port"):
            bind(*listener.getsockname())


@pytest.mark.parametrize("port", [65536, 70000])
def test_a_number_that_is_no_port_ends_with_what_to_do(port):
    with pytest.raises(
        SystemExit, match=rf"can't listen on 127\.0\.0\.1:{port}: a port is a number up to 65535.*--port"
    ):
        bind("127.0.0.1", port)


def test_a_folder_for_samples_that_can_not_be_made_ends_with_what_to_do(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"no samples can be kept in .*/file/a: .*--sample-folder"):
        make_folder(tmp_path / "file" / "a")
    make_folder(tmp_path / "new" / "a")
    assert list((tmp_path / "new" / "a").iterdir()) == []
