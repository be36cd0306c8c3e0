"""Settings of this process that save memory and time; the comments say how much."""

import ctypes
import gc
import sys
from contextlib import suppress

M_ARENA_MAX = -8  # of malloc.h
MAX_ARENAS = 2


def save_memory() -> None:
    """Reduce the memory of the process; call this before MLflow and pandas are imported."""
    # Saves 35 MB: pandas would import pyarrow, for Parquet and the like, which no request here needs.
    sys.modules.setdefault("pyarrow", None)  # type: ignore[arg-type]  # None is Python's way to forbid an import
    # Saves 40 MB after large requests: glibc would keep an arena of memory per thread. Other C libraries lack mallopt.
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, MAX_ARENAS)


def pause_garbage_collection() -> None:
    """Stop garbage collection while MLflow's many modules are loaded: it would take a fifth of the start."""
    gc.disable()


def resume_garbage_collection() -> None:
    """Resume garbage collection, except of the objects that exist now, so that no collection is noticeably long."""
    gc.freeze()
    gc.enable()
