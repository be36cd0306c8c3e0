"""What a server's port must be."""

import socket
import sys

import pytest

from pipeline.cli import UserError
from pipeline.commands.port import require_free_port


@pytest.mark.parametrize("text", ["70000", "0", "-1", "http", "", "²"])
def test_what_is_no_port_is_refused(text):
    with pytest.raises(UserError, match=f"PORT={text}: a port is a number from 1 to 65535"):
        require_free_port(text)


@pytest.mark.parametrize(("system", "has_airplay"), [("linux", False), ("darwin", True)])
def test_a_port_that_is_in_use_is_named_and_on_a_mac_who_has_it(monkeypatch, system, has_airplay):
    monkeypatch.setattr(sys, "platform", system)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UserError, match=r"can't listen on port .*PORT=5050") as error:
            require_free_port(str(other.getsockname()[1]))
    assert ("AirPlay" in str(error.value)) is has_airplay


def test_a_free_port_will_do():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    require_free_port(port)
