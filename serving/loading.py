"""Fetch a model from a registry or a folder, and verify it before any of its code is run."""

import importlib.util
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from serving import verification
from serving.environment import without_password
from serving.loaded_model import Identity, LoadedModel, form_of, version_identity

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.pyfunc import PyFuncModel

    from serving.model import Classifier

MAX_NAMED = 3  # faults that one error names


class ModelLoadError(Exception):
    """A model can't be served; the text is one sentence that says why."""


def fetch_version(version: "ModelVersion", alias: str | None) -> LoadedModel:
    """Load a registered version; ModelLoadError if it can't be fetched, or isn't what its tags say."""
    what = f"version {version.version}"
    known = {"name": version.name, "version": str(version.version), "alias": alias}
    # A private copy, so that the files that are hashed are those that run, even if the store changes meanwhile.
    with scratch_folder(what) as scratch:
        try:
            copy = copy_version(version, scratch)
        except ModelLoadError:
            raise
        except Exception as error:  # each kind of artifact store raises its own errors
            raise ModelLoadError(f"{what} can't be fetched: {first_line(error)}") from None
        return load(copy, what, version.tags, known, version_identity(version))


def copy_version(version: "ModelVersion", scratch: Path) -> Path:
    """Return a copy of a version's files in `scratch`. Links are refused, not followed: they may lead anywhere."""
    import mlflow

    name, number = version.name, str(version.version)
    folder = verification.local_folder(mlflow.MlflowClient().get_model_version_download_uri(name, number))
    if folder is None:
        return Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{number}", dst_path=str(scratch)))
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder {folder} doesn't exist")
    require_none(
        f"version {number}", verification.find_strangers(folder, expected_of(f"version {number}", version.tags))
    )
    return Path(shutil.copytree(folder, scratch / "model", symlinks=True))


def fetch_folder(folder: Path) -> LoadedModel:
    """Load a model from a folder; there are no hashes of a registry to compare it with."""
    what = f"the folder {folder}"
    with scratch_folder(what) as scratch:
        copy_files(folder, what, scratch)
        return load(scratch, what, None, {"name": None, "version": None, "alias": None}, ())


def copy_files(folder: Path, what: str, scratch: Path) -> None:
    """Copy the files that are read, and no others: a folder that was named by mistake may hold gigabytes."""
    for name in verification.REQUIRED:
        try:
            (scratch / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(folder / name, scratch / name)
        except (FileNotFoundError, NotADirectoryError):
            raise ModelLoadError(
                f"{what} holds no model of this pipeline: it has no {name}; name a model's folder, or "
                "models:/mnist@champion"
            ) from None
        except OSError as error:
            raise ModelLoadError(
                f"{what} can't be copied: {first_line(error)}; if the temporary folder is full, set TMPDIR to another"
            ) from None


@contextmanager
def scratch_folder(what: str) -> Iterator[Path]:
    """Give a temporary folder; ModelLoadError if it can't be made."""
    try:
        scratch = TemporaryDirectory(prefix="model-", ignore_cleanup_errors=True)
    except OSError as error:
        raise ModelLoadError(
            f"{what} can't be copied: no temporary folder can be made ({first_line(error)}); set TMPDIR to a folder "
            "that can be written"
        ) from None
    with scratch as folder:
        yield Path(folder)


def load(
    folder: Path, what: str, tags: Mapping[str, str] | None, known: dict[str, str | None], identity: Identity
) -> LoadedModel:
    """Load a model's private copy; ModelLoadError unless its files match `tags` and it answers its golden images.

    `what` names the model in errors; `known` is its name, version and alias. If `tags` is None, no hash is compared.
    """
    if tags is not None:
        require_none(what, verification.find_faults(folder, expected_of(what, tags)))
    # Python would run compiled code instead of the source that was hashed.
    for compiled in folder.rglob(verification.COMPILED):
        shutil.rmtree(compiled)
    try:
        description = read_description(folder)
        foreign = list(verification.find_foreign_keys(description))
    except Exception as error:  # a file that is damaged in any way
        raise ModelLoadError(f"{what} holds no model of this pipeline: {first_line(error)}") from None
    require_none(what, foreign)
    require_todays_form(what, folder, tags)
    try:
        # The golden images prove more than a comparison of version numbers, which would take a second.
        model = run_code(folder)
        model.check()
        pyfunc = wrap(model, description["signature"])
    except Exception as error:
        raise ModelLoadError(f"{what} can't be loaded: {first_line(error)}") from None
    metadata = description.get("metadata") or {}
    facts = {**known, "name": known["name"] or metadata.get("dataset")}
    facts |= {"preset": metadata.get("model"), "dataset": metadata.get("dataset"), "sha256": model.sha256}
    facts |= {key: metadata.get(key) for key in ("val_accuracy", "test_accuracy")}
    facts |= {"class_names": model.class_names, "image": asdict(form_of(model))}
    return LoadedModel(pyfunc, model, facts, identity, (folder / verification.NETWORK).read_bytes())


def require_todays_form(what: str, folder: Path, tags: Mapping[str, str] | None) -> None:
    """Raise ModelLoadError if a copy was made by older code, whose golden images had no names of classes."""
    try:
        golden = json.loads((folder / verification.GOLDEN).read_text())
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{what} holds no model of this pipeline: {first_line(error)}") from None
    if "class_names" not in golden or (tags is not None and verification.ALL_HASHES not in tags):
        raise ModelLoadError(
            f"{what} was registered by older code, whose answers had another form: run `make run` (or `dvc repro`), "
            "which registers it again"
        )


def expected_of(what: str, tags: Mapping[str, str]) -> dict[str, str | None]:
    """Return `verification.expected_hashes(tags)`; ModelLoadError if the tags can't be read."""
    try:
        return verification.expected_hashes(tags)
    except (ValueError, TypeError):
        raise ModelLoadError(f"{what} has a tag {verification.ALL_HASHES} that is no JSON object") from None


def require_none(what: str, faults: Iterable[str]) -> None:
    """Raise ModelLoadError, which names the first MAX_NAMED faults, if there are any."""
    if named := list(faults):
        more = f" and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
        raise ModelLoadError(f"{what} is not as it was registered: {', '.join(named[:MAX_NAMED])}{more}")


def read_description(folder: Path) -> dict[str, Any]:
    """Return the content of a model's MLmodel file."""
    from mlflow.models import Model

    description: dict[str, Any] = Model.load(str(folder)).to_dict()
    return description


def run_code(folder: Path) -> "Classifier":
    """Run a model's code file, and return its Classifier with network and golden images. No other code is run.

    MLflow's own loader would also run code that the MLmodel names, and leave a module in sys.modules for each version.
    """
    spec = importlib.util.spec_from_file_location("served_model", folder / verification.CODE)
    assert spec is not None  # for a path that ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model: Classifier = module.Classifier()
    artifacts = {"onnx": str(folder / verification.NETWORK), "golden": str(folder / verification.GOLDEN)}
    model.load_context(SimpleNamespace(artifacts=artifacts))  # type: ignore[arg-type]  # it reads nothing else
    return model


def wrap(model: "Classifier", signature: dict[str, Any]) -> "PyFuncModel":
    """Wrap the model for MLflow's scoring, with the signature that checks its input."""
    from mlflow.models import Model, ModelSignature
    from mlflow.pyfunc import PyFuncModel

    flavors = {"python_function": {"loader_module": verification.LOADER}}
    description = Model(signature=ModelSignature.from_dict(signature), flavors=flavors)
    return PyFuncModel(description, SimpleNamespace(predict=partial(model.predict, None)))


def first_line(error: Exception) -> str:
    """Return the first line of an error's text without passwords, or the error's class if it has no text."""
    return without_password((str(error).strip().splitlines() or [type(error).__name__])[0][:300])
