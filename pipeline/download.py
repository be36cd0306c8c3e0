"""Bring the published files of a data set, checked against their pinned sha256, into data/raw/."""

import os
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pipeline.cli import UserError, run
from pipeline.config.params import load
from pipeline.config.section import require_known
from pipeline.data import digits
from pipeline.files import publish

RAW = Path("data/raw")
TIMEOUT = (5, 10)  # seconds to connect, and between two pieces of a file
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"

# A data set is its mirrors, tried in this order after DATASET_MIRROR, and the sha256 of its files.
# The sums are the publishers' own, as TensorFlow Datasets and torchvision list them.
CATALOGUE = {
    "mnist": {
        "mirrors": (
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        ),
        "files": {
            TRAIN_IMAGES: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            TRAIN_LABELS: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            TEST_IMAGES: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            TEST_LABELS: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    },
    "fashion-mnist": {
        "mirrors": (
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/"
            "b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion",
        ),
        "files": {
            TRAIN_IMAGES: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            TRAIN_LABELS: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            TEST_IMAGES: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            TEST_LABELS: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    },
    "kmnist": {
        "mirrors": (
            "https://codh.rois.ac.jp/kmnist/dataset/kmnist",
            "https://huggingface.co/datasets/tanganke/kmnist/resolve/53810959241e8f35890445245170c8cec0672f81/raw",
        ),
        "files": {
            TRAIN_IMAGES: "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            TRAIN_LABELS: "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            TEST_IMAGES: "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            TEST_LABELS: "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        },
    },
    # Made from a file inside scikit-learn, so it needs no mirror.
    "digits": {"mirrors": (), "files": {}},
}


def main() -> None:
    name = load().dataset
    catalogued(name)
    with publish(RAW) as folder:
        if name == "digits":
            digits.write(folder)
        else:
            fetch(name, tuple(CATALOGUE[name]["files"]), folder)
    print(f"{name}: {len(list(RAW.iterdir()))} files in {RAW}, as published")


def catalogued(name: str) -> None:
    """Raise UserError, with the names that are known, for a data set that the catalogue lacks."""
    try:
        require_known(name, CATALOGUE, "dataset")
    except ValueError as error:
        raise UserError(f"params.yaml: {error}") from None


def fetch(name: str, files: tuple[str, ...], folder: Path, retries: int = 1) -> None:
    """Write `files` of the data set into `folder`, each checked before it gets its name.

    Each file is asked of each mirror in turn; UserError, with the ways out, if none gives it.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    registry = {file: f"sha256:{CATALOGUE[name]['files'][file]}" for file in files}
    addresses = mirrors(name)
    for file in files:
        for address in list(addresses):
            mirror = pooch.create(folder, base_url=f"{address}/", registry=registry, retry_if_failed=retries)
            try:
                mirror.fetch(file, downloader=_downloader(address))
                (folder / file).chmod(0o644)  # pooch's temporary file is its user's alone
                break
            except (OSError, ValueError) as error:  # requests' errors are OSErrors, a wrong hash is a ValueError
                print(f"{address}/{file}: {_reason(error)}", flush=True)
                # What has failed once is asked last for the next file.
                addresses.append(addresses.pop(addresses.index(address)))
        else:
            raise UserError(_ways_out(name, file))


def mirrors(name: str) -> list[str]:
    """The addresses that may hold the data set's files: DATASET_MIRROR's first, then the public ones."""
    addresses = list(CATALOGUE[name]["mirrors"])
    own = os.environ.get("DATASET_MIRROR")
    if own:
        if not re.match(r"(file:///|https?://[^/])", own):
            raise UserError(f"DATASET_MIRROR is {own!r}; write an address that begins with file:// or https://")
        addresses.insert(0, f"{own.rstrip('/')}/{name}")
    return addresses


def _downloader(address: str):
    import pooch

    if urlsplit(address).scheme == "file":
        return lambda url, output, _: shutil.copyfile(url2pathname(urlsplit(url).path), output)
    return pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT, chunk_size=1 << 16)


def _reason(error: Exception) -> str:
    import requests

    response = getattr(error, "response", None)
    if response is not None:
        return f"answers {response.status_code}"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, requests.RequestException):
        return type(error).__name__
    if isinstance(error, OSError):
        raise error  # this machine's disk, not the mirror
    return "not the published file (its sha256 differs)"


def _ways_out(name: str, file: str) -> str:
    return (
        f"no mirror gave {name}'s {file} as published. Three ways out:\n"
        "  1. when the network is back, run `dvc repro` again;\n"
        f"  2. set DATASET_MIRROR to a file:// or https:// address under which {name}/{file} lies;\n"
        "  3. use the data set that needs no network: `dataset: digits` in params.yaml."
    )


if __name__ == "__main__":
    run(main)
