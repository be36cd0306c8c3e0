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
from pipeline.config.catalogue import WriterTables
from pipeline.config.dataset import Dataset
from pipeline.files import sha256_of

TIMEOUT_S = (5.0, 10.0)  # to connect, and between two pieces of a file
OTHER_DATA = "use the data set that needs no network: `dataset: digits` in params.yaml"


class UnreachableError(UserError):
    """No mirror could be reached, as without a network. A mirror that lacks the file or has another one was reached."""


def fetch(
    name: str,
    dataset: Dataset | WriterTables,
    files: Sequence[str],
    folder: Path,
    retries: int = 1,
    timeout_s: tuple[float, float] = TIMEOUT_S,
    without: str = OTHER_DATA,
) -> None:
    """Write `files` of the data set `name` into `folder`, each checked before it gets its name.

    Try the mirrors in turn, each 1 + `retries` times. Raise UserError, with what the user can do, if no mirror has a
    file as published; UnreachableError if none could even be reached. `without` tells how to do without the files.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    registry = {file: f"sha256:{dataset.files[file]}" for file in files}
    addresses, is_reached = list_mirrors(name, dataset), False
    if not addresses:
        raise UserError(
            f"{name} has no public mirror: set DATASET_MIRROR to the address, file:///… or https://…, of a folder "
            f"that has {name}/{files[0]}"
        )
    for file in files:
        for address in list(addresses):
            mirror = pooch.create(folder, base_url=f"{address}/", registry=registry, retry_if_failed=retries)
            try:
                mirror.fetch(file, downloader=_choose_downloader(address, timeout_s))
                (folder / file).chmod(0o644)  # pooch's temporary file is readable by its owner only
                break
            except (OSError, ValueError) as error:  # requests' errors are OSErrors, a wrong hash is a ValueError
                _report_failure(f"{address}/{file}", dataset.files[file], error)
                is_reached = is_reached or not _is_unreachable(error)
                # A mirror that has failed once is tried last for the next file.
                addresses.append(addresses.pop(addresses.index(address)))
        else:
            raise _no_mirror_error(name, file, is_reached, without)


def is_downloaded(dataset: Dataset, raw: Path) -> bool:
    """Return whether the folder `raw` already holds every file of the data set, as published."""
    return all((raw / file).exists() and sha256_of(raw / file) == expected for file, expected in dataset.files.items())


def list_mirrors(name: str, dataset: Dataset | WriterTables) -> list[str]:
    """Return the addresses that may hold the data set's files: DATASET_MIRROR's first, then the public ones.

    Raise UserError if DATASET_MIRROR isn't an address.
    """
    addresses = list(dataset.mirrors)
    own = os.environ.get("DATASET_MIRROR")
    if own:
        if not re.match(r"(file:///|https?://[^/])", own):
            raise UserError(f"DATASET_MIRROR is {own!r}; write file:///absolute/folder (three slashes) or https://…")
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


def _is_unreachable(error: Exception) -> bool:
    import requests

    return isinstance(error, requests.RequestException) and error.response is None


def _report_failure(url: str, expected: str, error: Exception) -> None:
    """Print why a mirror didn't give the file with the sha256 `expected`; raise `error` if this machine caused it."""
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
        # In pooch's message, the sha256 that it found follows `but got`.
        print(
            f"{url}: not the published file (its sha256 differs: expected {expected[:12]}…, "
            f"found {str(error).rpartition('but got ')[2][:12]}…)",
            flush=True,
        )


def _no_mirror_error(name: str, file: str, is_reached: bool, without: str) -> UserError:
    kind = UserError if is_reached else UnreachableError
    return kind(
        f"no mirror gave {name}'s {file} as published. Three ways out:\n"
        "  1. when the network is back, run `dvc repro` again;\n"
        f"  2. set DATASET_MIRROR to the address, file:///… or https://…, of a folder that has {name}/{file};\n"
        f"  3. {without}."
    )
