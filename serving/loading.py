"""A model out of a registry or a folder, checked before anything of it is run."""

import re
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

HASHES = ("onnx_sha256", "serving_code_sha256")  # tags of a registered version
LOADER = "mlflow.pyfunc.loaders.code_model"  # MLflow's, of models that are code and no pickle


class Unusable(Exception):
    """A model that can't be served; its text is one sentence that says why."""


@dataclass(frozen=True)
class Served:
    """A loaded model: as MLflow wraps it, the DigitModel inside, what is known of it, what tells it from others."""

    pyfunc: Any
    model: Any
    facts: dict[str, Any]
    identity: tuple

    @property
    def label(self) -> dict[str, str | None]:
        """Name and version, as each answer carries them."""
        return {"name": self.facts["name"], "version": self.facts["version"]}


def identity(version) -> tuple:
    """Of a registered version: a store that was made anew gives the same numbers to other models."""
    return version.version, *map(version.tags.get, HASHES)


def fetch(version, alias: str | None) -> Served:
    """Load a registered version, if it is what its tags say."""
    import mlflow

    # A copy of its own: what is hashed is what is run, whatever happens to the store meanwhile.
    with TemporaryDirectory(prefix="model-") as scratch:
        try:
            uri = f"models:/{version.name}/{version.version}"
            folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=scratch))
        except Exception as error:  # each kind of artifact store has its own
            raise Unusable(f"version {version.version} can't be fetched: {told(error)}") from None
        expected = {key: version.tags.get(key) for key in HASHES}
        known = {"name": version.name, "version": str(version.version), "alias": alias}
        return load(folder, f"version {version.version}", expected, known, identity(version))


def fetch_folder(folder: Path) -> Served:
    """Load a model that no registry vouches for."""
    with TemporaryDirectory(prefix="model-") as scratch:
        try:
            copy = Path(shutil.copytree(folder, Path(scratch) / "model"))
        except OSError:
            raise Unusable(f"{folder} can't be read: name a model's folder, or models:/mnist@champion") from None
        return load(copy, f"the folder {folder}", {}, {"name": None, "version": None, "alias": None}, ())


def load(
    folder: Path, what: str, expected: dict[str, str | None], known: dict[str, str | None], identity: tuple
) -> Served:
    """Load a copy of a model; Unusable unless its files have the `expected` sha256 and it answers its golden images.

    `what` is how an error calls it, `known` what the registry knows of it.
    """
    import mlflow

    try:
        metadata, files = described(folder)
        found = {key: sha256(path.read_bytes()).hexdigest() for key, path in files.items()}
    except Exception as error:  # a file that is damaged in any way
        raise Unusable(f"{what} holds no model of this pipeline: {told(error)}") from None
    for key, digest in expected.items():
        if digest != found[key]:
            raise Unusable(f"{what} has not the {key} that was recorded when it was registered")
    try:
        # The golden images tell more than a comparison of version numbers, which takes a second.
        pyfunc = mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)
        model = pyfunc.unwrap_python_model()
        model.check()
    except Exception as error:
        raise Unusable(f"{what} can't be loaded: {told(error)}") from None
    if model.sha256 != found["onnx_sha256"]:
        raise Unusable(f"{what} runs another network than the one that was checked")
    facts = {**known, "name": known["name"] or metadata.get("dataset")}
    facts |= {"preset": metadata.get("model"), "dataset": metadata.get("dataset"), "sha256": model.sha256}
    facts |= {key: metadata.get(key) for key in ("val_accuracy", "test_accuracy")}
    return Served(pyfunc, model, facts, identity)


def described(folder: Path) -> tuple[dict[str, Any], dict[str, Path]]:
    """A model's metadata, and the files that have hashes; an error if it would run anything but these."""
    from mlflow.models import Model

    description = Model.load(str(folder))
    flavor = description.flavors["python_function"]
    if flavor["loader_module"] != LOADER or flavor.get("code"):
        raise ValueError("its MLmodel names other code")
    # Compiled code is run in the place of the source that is hashed.
    for compiled in folder.rglob("__pycache__"):
        shutil.rmtree(compiled)
    # MLflow notes where the code came from, and keeps it under its last name.
    files = (folder / flavor["artifacts"]["onnx"]["path"], folder / Path(flavor["model_code_path"]).name)
    return description.metadata or {}, dict(zip(HASHES, files, strict=True))


def told(error: Exception) -> str:
    """The first line of an error's text, or its kind where it has none."""
    return without_password((str(error).strip().splitlines() or [type(error).__name__])[0][:300])


def without_password(text: str) -> str:
    """Text without what stands before the @ of a URI: /readyz shows it."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)
