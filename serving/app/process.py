"""Settings of this process that save memory and time; each says what it gains."""

import ctypes
import gc
import sys
from contextlib import suppress

M_ARENA_MAX = -8  # of malloc.h
MAX_ARENAS = 2


def save_memory() -> None:
    """Keep the process small; to be called before MLflow and pandas are imported."""
    # Saves 35 MB, which pandas would take for Parquet and such; no request here needs them.
    sys.modules.setdefault("pyarrow", None)  # type: ignore[arg-type]  # None is Python's way to forbid an import
    # Saves 40 MB after large requests: glibc would keep memory for each thread apart. Other C libraries lack mallopt.
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, MAX_ARENAS)


def pause_garbage_collection() -> None:
    """Collect no garbage while modules are loaded: looking for it among MLflow's would take a fifth of the start."""
    gc.disable()


def resume_garbage_collection() -> None:
    """Collect garbage again, but not in what is loaded now: without it no collection takes long enough to be felt."""
    gc.freeze()
    gc.enable()
