"""Check that a port is free, before a server takes seconds to start: `python -m pipeline.commands.port 5001`."""

import socket
import sys

from pipeline.cli import UserError, run


def require_free_port(text: str) -> None:
    """Raise UserError if the text is no port's number, or if something listens on that port."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise UserError(f"PORT={text}: a port is a number from 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(text)))
        except OSError as error:
            airplay = " (on a Mac, AirPlay Receiver has 5000: System Settings)" if sys.platform == "darwin" else ""
            raise UserError(
                f"can't listen on port {text}: {error.strerror}{airplay}; name another: PORT=5050"
            ) from None


if __name__ == "__main__":
    run(require_free_port, "port")
