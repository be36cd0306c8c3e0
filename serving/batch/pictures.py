"""Convert image files, of a folder or a table, to pixels, in parallel, with a reason for each that can't be read."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from serving.images import ALL_FORMATS, Form, ImageError, prepare

MAX_THREADS = 4  # whatever the number of processors, because each may hold a file of the largest size and its pixels
SHARD_IMAGES = 1_000  # fewer than rows of pixels, because image files take longer


def start_threads() -> ThreadPoolExecutor:
    """Return the threads that prepare images; they run in parallel, because Pillow and NumPy release the GIL."""
    return ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1))


def prepare_or_explain(read: Callable[[], bytes], form: Form) -> tuple[np.ndarray, str | None]:
    """Return the picture of a file in `form`, uint8 [*form.shape]; or zeros, and the reason why it can't be read."""
    try:
        return prepare(read(), form, ALL_FORMATS), None
    except ImageError as error:
        return np.zeros(form.shape, np.uint8), str(error)
    except OSError as error:
        return np.zeros(form.shape, np.uint8), f"the file can't be read: {error.strerror}"
