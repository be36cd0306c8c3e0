"""Wait for the work of another process, without a fixed time."""

import time
from collections.abc import Callable
from typing import Any


def eventually(condition: Callable[[], object], seconds: float = 300) -> Any:
    """Return the condition's result as soon as it is true; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return result
