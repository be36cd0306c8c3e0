"""Fetch published files from the mirrors of a data set, each checked against its pinned sha256."""

import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pipeline.cli import UserError
from pipeline.data.catalogue import Publication

TIMEOUT_S = (5.0, 10.0)  # to connect, and between two pieces of a file


def fetch(
    name: str,
    publication: Publication,
    files: Sequence[str],
    folder: Path,
    retries: int = 1,
    timeout_s: tuple[float, float] = TIMEOUT_S,
) -> None:
    """Write `files` of the data set `name` into `folder`, each checked before it gets its name.

    Try each mirror in turn, each of them 1 + `retries` times. Raise UserError, with what the user can do, if none has
    a file as published.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    registry = {file: f"sha256:{publication.sha256[file]}" for file in files}
    addresses = list_mirrors(name, publication)
    for file in files:
        for address in list(addresses):
            mirror = pooch.create(folder, base_url=f"{address}/", registry=registry, retry_if_failed=retries)
            try:
                mirror.fetch(file, downloader=_choose_downloader(address, timeout_s))
                (folder / file).chmod(0o644)  # pooch's temporary file is readable by its owner only
                break
            except (OSError, ValueError) as error:  # requests' errors are OSErrors, a wrong hash is a ValueError
                _report_failure(f"{address}/{file}", error)
                # A mirror that has failed once is tried last for the next file.
                addresses.append(addresses.pop(addresses.index(address)))
        else:
            raise _no_mirror_error(name, file)


def list_mirrors(name: str, publication: Publication) -> list[str]:
    """Return the addresses that may hold the data set's files: DATASET_MIRROR's first, then the public ones.

    Raise UserError if DATASET_MIRROR isn't an address.
    """
    addresses = list(publication.mirrors)
    own = os.environ.get("DATASET_MIRROR")
    if own:
        if not re.match(r"(file:///|https?://[^/])", own):
            raise UserError(f"DATASET_MIRROR is {own!r}; write an address that begins with file:// or https://")
        addresses.insert(0, f"{own.rstrip('/')}/{name}")
    return addresses


def _choose_downloader(address: str, timeout_s: tuple[float, float]) -> Callable[[str, str, Any], object]:
    import pooch

    if urlsplit(address).scheme == "file":
        return lambda url, output, _: shutil.copyfile(url2pathname(urlsplit(url).path), output)
    downloader: Callable[[str, str, Any], object] = pooch.HTTPDownloader(
        progressbar=True, timeout=timeout_s, chunk_size=1 << 16
    )
    return downloader


def _report_failure(url: str, error: Exception) -> None:
    """Print why a mirror didn't give a file; raise the error again if the fault is this machine's own."""
    import requests

    response = getattr(error, "response", None)
    if response is not None:
        print(f"{url}: answers {response.status_code}", flush=True)
    elif isinstance(error, FileNotFoundError):
        print(f"{url}: no such file", flush=True)
    elif isinstance(error, requests.RequestException):
        print(f"{url}: {type(error).__name__}", flush=True)
    elif isinstance(error, OSError):
        raise error  # this machine's disk, not the mirror
    else:
        print(f"{url}: not the published file (its sha256 differs)", flush=True)


def _no_mirror_error(name: str, file: str) -> UserError:
    return UserError(
        f"no mirror gave {name}'s {file} as published. Three ways out:\n"
        "  1. when the network is back, run `dvc repro` again;\n"
        f"  2. set DATASET_MIRROR to a file:// or https:// address below which {name}/{file} lies;\n"
        "  3. use the data set that needs no network: `dataset: digits` in params.yaml."
    )
