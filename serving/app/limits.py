"""The limits of one server, and which of the answered images it keeps."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def limit(default: float, description: str) -> Any:
    """Return a field of Limits; the description is the option's help text."""
    return field(default=default, metadata={"help": description})


@dataclass(frozen=True)
class Limits:
    """The limits of one server; each field is an option of the command line, too."""

    body_bytes: int = limit(32 << 20, "most bytes in one request")
    held_bytes: int = limit(128 << 20, "most bytes of all requests together that are being received or answered")
    body_seconds: float = limit(30.0, "longest time to receive a request, in seconds")
    files: int = limit(24, "most files in one request")
    threads: int = limit(
        min(4, os.cpu_count() or 1), "threads that decode images, and as many that score arrays of pixels"
    )
    queue: int = limit(32, "most requests that wait for a thread of either kind")


@dataclass(frozen=True)
class Sampling:
    """Which share of the answered images is kept, in which folder, and for how many days."""

    folder: Path
    share: float
    days: float
