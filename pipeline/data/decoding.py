"""Decode pictures in parallel, in constant memory: files in, one file of raw pixels out."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

import numpy as np

from pipeline.data.arrays import UInt8Array, UInt64Array
from pipeline.data.equality import hash_images
from serving.image_files import read_image_file
from serving.images import ALL_FORMATS, Form, ImageError, prepare

CHUNK_PICTURES, CHUNK_VALUES = 16, 4_000_000  # that a thread decodes at a time; the second bounds the memory
# Pillow releases Python's lock while it decodes and scales, so threads are enough; each needs memory for one picture.
MAX_THREADS = 16


@dataclass(frozen=True)
class Decoded:
    """The result of decoding n pictures: each fault by its picture's place, and hashes of the readable ones, in order.

    `sha256` has the hashes of their files; `hashes`, uint64 [readable, 2], those of their pixels.
    """

    faults: dict[int, str]
    sha256: list[str]
    hashes: UInt64Array


def decode_pictures(contents: Iterator[Path | bytes], count: int, form: Form, pixels: Path) -> Decoded:
    """Write the pictures that can be read to the file `pixels`, uint8 [readable, *form.shape], in their order."""
    from tqdm import tqdm

    threads = min(os.cpu_count() or 1, MAX_THREADS)
    size = max(1, min(CHUNK_PICTURES, CHUNK_VALUES // int(np.prod(form.shape))))
    faults: dict[int, str] = {}
    digests: list[str] = []
    hashes = [np.zeros((0, 2), np.uint64)]
    pool = ThreadPoolExecutor(threads)
    with pixels.open("wb") as file, tqdm(total=count, unit=" images", unit_scale=True, disable=None) as bar:
        waiting: deque[Future[tuple[UInt8Array, list[str], dict[int, str]]]] = deque()

        def take() -> None:
            images, chunk_digests, chunk_faults = waiting.popleft().result()
            images.tofile(file)
            hashes.append(hash_images(images))
            done = len(digests) + len(faults)
            faults.update({done + place: fault for place, fault in chunk_faults.items()})
            digests.extend(chunk_digests)
            bar.update(len(chunk_digests) + len(chunk_faults))

        try:
            while chunk := list(islice(contents, size)):
                waiting.append(pool.submit(_decode_chunk, chunk, form))
                if len(waiting) >= 2 * threads:
                    take()
            while waiting:
                take()
        finally:
            pool.shutdown(cancel_futures=True)
    return Decoded(faults, digests, np.concatenate(hashes))


def _decode_chunk(contents: list[Path | bytes], form: Form) -> tuple[UInt8Array, list[str], dict[int, str]]:
    """Return the readable pictures, uint8 [n, *form.shape], the sha256 of their files, and the faults by place."""
    images, digests, faults = [], [], {}
    for place, content in enumerate(contents):
        try:
            data = read_image_file(content) if isinstance(content, Path) else content
            images.append(prepare(data, form, ALL_FORMATS))
            digests.append(sha256(data).hexdigest())
        except ImageError as error:
            faults[place] = str(error)
    return np.array(images, np.uint8).reshape(-1, *form.shape), digests, faults
