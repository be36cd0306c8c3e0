"""Fetch a model from a registry or a folder, and verify it before any of its code is run."""

import re
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.pyfunc import PyFuncModel

    from serving.model import DigitModel

HASHES = ("onnx_sha256", "serving_code_sha256")  # tags of a registered version
LOADER = "mlflow.pyfunc.loaders.code_model"  # MLflow's, of models that are code and no pickle

# A version's number and its hashes.
Identity = tuple[str | None, ...]


class ModelLoadError(Exception):
    """A model can't be served; the text is one sentence that says why."""


@dataclass(frozen=True)
class LoadedModel:
    """A verified model: as MLflow wraps it and as the DigitModel inside, what is known of it, and its identity."""

    pyfunc: "PyFuncModel"
    model: "DigitModel"
    facts: dict[str, Any]
    identity: Identity

    @property
    def label(self) -> dict[str, str | None]:
        """Name and version, as each answer carries them."""
        return {"name": self.facts["name"], "version": self.facts["version"]}


def version_identity(version: "ModelVersion") -> Identity:
    """Return what tells a registered version from others: a rebuilt store gives the same numbers to other models."""
    return str(version.version), *map(version.tags.get, HASHES)


def fetch_version(version: "ModelVersion", alias: str | None) -> LoadedModel:
    """Load a registered version; ModelLoadError unless it is what its tags say."""
    import mlflow

    # A private copy: what is hashed is what is run, whatever happens to the store meanwhile.
    with TemporaryDirectory(prefix="model-") as scratch:
        try:
            uri = f"models:/{version.name}/{version.version}"
            folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=scratch))
        except Exception as error:  # each kind of artifact store has its own
            raise ModelLoadError(f"version {version.version} can't be fetched: {first_line(error)}") from None
        expected = {key: version.tags.get(key) for key in HASHES}
        known = {"name": version.name, "version": str(version.version), "alias": alias}
        return load(folder, f"version {version.version}", expected, known, version_identity(version))


def fetch_folder(folder: Path) -> LoadedModel:
    """Load a model from a folder, which no registry vouches for."""
    with TemporaryDirectory(prefix="model-") as scratch:
        try:
            copy = Path(shutil.copytree(folder, Path(scratch) / "model"))
        except OSError:
            raise ModelLoadError(f"{folder} can't be read: name a model's folder, or models:/mnist@champion") from None
        return load(copy, f"the folder {folder}", {}, {"name": None, "version": None, "alias": None}, ())


def load(
    folder: Path, what: str, expected: dict[str, str | None], known: dict[str, str | None], identity: Identity
) -> LoadedModel:
    """Load a copy; ModelLoadError unless its files have the `expected` sha256 and it answers its golden images.

    `what` names the model in an error, `known` is what the registry knows of it.
    """
    import mlflow

    try:
        metadata, files = read_description(folder)
        found = {key: sha256(path.read_bytes()).hexdigest() for key, path in files.items()}
    except Exception as error:  # a file that is damaged in any way
        raise ModelLoadError(f"{what} holds no model of this pipeline: {first_line(error)}") from None
    for key, digest in expected.items():
        if digest != found[key]:
            raise ModelLoadError(f"{what} has not the {key} that was recorded when it was registered")
    try:
        # The golden images say more than a comparison of version numbers, which takes a second.
        pyfunc = mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)
        model = pyfunc.unwrap_python_model()
        model.check()
    except Exception as error:
        raise ModelLoadError(f"{what} can't be loaded: {first_line(error)}") from None
    if model.sha256 != found["onnx_sha256"]:
        raise ModelLoadError(f"{what} runs another network than the one that was checked")
    facts = {**known, "name": known["name"] or metadata.get("dataset")}
    facts |= {"preset": metadata.get("model"), "dataset": metadata.get("dataset"), "sha256": model.sha256}
    facts |= {key: metadata.get(key) for key in ("val_accuracy", "test_accuracy")}
    return LoadedModel(pyfunc, model, facts, identity)


def read_description(folder: Path) -> tuple[dict[str, Any], dict[str, Path]]:
    """Return a model's metadata and its files that have hashes; an error if it would run anything but these."""
    from mlflow.models import Model

    description = Model.load(str(folder))
    flavor = description.flavors["python_function"]
    if flavor["loader_module"] != LOADER or flavor.get("code"):
        raise ValueError("its MLmodel names other code")
    # Python would run compiled code in place of the source that is hashed.
    for compiled in folder.rglob("__pycache__"):
        shutil.rmtree(compiled)
    # MLflow notes where the code came from, and keeps it under its last name.
    files = (folder / flavor["artifacts"]["onnx"]["path"], folder / Path(flavor["model_code_path"]).name)
    return description.metadata or {}, dict(zip(HASHES, files, strict=True))


def first_line(error: Exception) -> str:
    """Return the first line of an error's text without passwords, or the error's kind if it has no text."""
    return without_password((str(error).strip().splitlines() or [type(error).__name__])[0][:300])


def without_password(text: str) -> str:
    """Return the text without what stands before the @ of a URI, because /readyz shows it."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)
