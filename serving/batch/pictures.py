"""Image files, in a folder or in a table, to pixels: side by side, and a word on each that can't be read."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from serving.images import ALL_FORMATS, Form, ImageError, prepare

MAX_THREADS = 4  # each may hold a file of that size and its pixels, so more processors don't take more memory
SHARD_IMAGES = 1_000  # they take longer than pixels that are there already


def start_threads() -> ThreadPoolExecutor:
    """Return the threads that prepare images: Pillow and NumPy let others run."""
    return ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1))


def prepare_or_explain(read: Callable[[], bytes], form: Form) -> tuple[np.ndarray, str | None]:
    """Return the picture of a file in that form, uint8 [*form.shape]; zeros and the reason if it can't be read."""
    try:
        return prepare(read(), form, ALL_FORMATS), None
    except ImageError as error:
        return np.zeros(form.shape, np.uint8), str(error)
    except OSError as error:
        return np.zeros(form.shape, np.uint8), f"the file can't be read: {error.strerror}"
