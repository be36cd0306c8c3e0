"""Compare a model's folder with what its registered version records, before anything in it is run."""

import json
import os
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import unquote, urlsplit

DESCRIPTION, CODE = "MLmodel", "model.py"
NETWORK, GOLDEN = "artifacts/model.onnx", "artifacts/golden.json"
# Tags of a registered version, by the file whose sha256 they hold. Older versions have only some of these tags.
HASHES = {
    NETWORK: "onnx_sha256",
    CODE: "serving_code_sha256",
    GOLDEN: "golden_sha256",
    "artifacts/model.tflite": "tflite_sha256",
    "artifacts/model_int8.tflite": "tflite_int8_sha256",
}
ALL_HASHES = "files_sha256"  # tag with the sha256 of each file, as JSON; versions of older code don't have it
# Files that MLflow writes beside those above. The app reads only DESCRIPTION.
DESCRIPTIONS = (
    DESCRIPTION, "conda.yaml", "python_env.yaml", "requirements.txt", "input_example.json", "serving_input_example.json"
)  # fmt: skip
ADDED_BY_DOWNLOAD = "registered_model_meta"
REQUIRED = (DESCRIPTION, CODE, NETWORK, GOLDEN)
COMPILED = "__pycache__"  # Python writes it wherever the model is run; here it is never read

LOADER = "mlflow.pyfunc.loaders.code_model"  # MLflow's, for models that are logged as code, not as a pickle
DESCRIPTION_KEYS = {
    "artifact_path", "flavors", "is_signature_from_type_hint", "metadata", "mlflow_version", "model_id",
    "model_size_bytes", "model_uuid", "prompts", "run_id", "saved_input_example_info", "signature",
    "type_hint_from_example", "utc_time_created",
}  # fmt: skip
FLAVOR_KEYS = {
    "artifacts", "cloudpickle_version", "code", "env", "loader_module", "model_code_path", "python_version",
    "streamable",
}  # fmt: skip


def expected_hashes(tags: Mapping[str, str]) -> dict[str, str | None]:
    """Return the files that a version's folder may hold, each with its sha256; None where none was recorded."""
    files = dict.fromkeys((*DESCRIPTIONS, *HASHES)) if ALL_HASHES not in tags else json.loads(tags[ALL_HASHES])
    return files | {file: tags[tag] for file, tag in HASHES.items() if tag in tags}


def hash_files(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file in a model's folder, as the tag ALL_HASHES has them."""
    return {name: sha256((folder / name).read_bytes()).hexdigest() for name in list_files(folder)}


def list_files(folder: Path) -> Iterator[str]:
    """Yield the relative path of each file and link in a folder and below it, in order; links are not followed."""
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        folders[:] = sorted(name for name in folders if name != COMPILED)
        for name in sorted(files + links):
            path = (Path(place) / name).relative_to(folder).as_posix()
            if path != ADDED_BY_DOWNLOAD:
                yield path


def local_folder(uri: str) -> Path | None:
    """Return the folder on this machine that an artifact URI names; None if the store is elsewhere."""
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None


def find_strangers(folder: Path, expected: Mapping[str, str | None]) -> Iterator[str]:
    """Yield a phrase on each entry of a folder that isn't an expected regular file, without reading any file."""
    for name in list_files(folder):
        if name not in expected:
            yield f"{name} was added"
        elif (folder / name).is_symlink():
            yield f"{name} is a link"
        elif not (folder / name).is_file():
            yield f"{name} is no file"


def find_faults(folder: Path, expected: Mapping[str, str | None]) -> Iterator[str]:
    """Yield a phrase on each file that is unexpected, missing or changed."""
    strangers = list(find_strangers(folder, expected))
    yield from strangers
    for name, digest in () if strangers else expected.items():
        if not (folder / name).exists():
            if digest is not None or name in REQUIRED:
                yield f"{name} is missing"
        elif digest is not None and sha256((folder / name).read_bytes()).hexdigest() != digest:
            yield f"{name} has not the sha256 that was recorded"


def find_foreign_keys(description: Mapping[str, Any]) -> Iterator[str]:
    """Yield a phrase on each entry of an MLmodel that `register` doesn't write."""
    flavors = description["flavors"]
    flavor = flavors["python_function"]
    for key in (*(description.keys() - DESCRIPTION_KEYS), *(flavors.keys() - {"python_function"})):
        yield f"its MLmodel has {key}"
    for key in flavor.keys() - FLAVOR_KEYS:
        yield f"its MLmodel has {key} under python_function"
    if flavor["loader_module"] != LOADER or flavor.get("code") or PurePath(flavor["model_code_path"]).name != CODE:
        yield "its MLmodel names other code"
    paths = {artifact["path"] for artifact in flavor["artifacts"].values()}
    if not {NETWORK, GOLDEN} <= paths <= HASHES.keys():
        yield "its MLmodel names other artifacts"
