"""Wait for what another process does, without a fixed time."""

import time
from collections.abc import Callable
from typing import Any


def eventually(condition: Callable[[], object], seconds: float = 60) -> Any:
    """Wait for a condition on another process' work."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return result
