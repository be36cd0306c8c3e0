"""The model that answers now, and the thread that follows the registry's alias to the next one."""

import logging
import re
import threading
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

POLL = 2.0  # seconds between two looks at the alias
LONGEST_WAIT = 300.0  # seconds until a version that failed is tried again
REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")

log = logging.getLogger("uvicorn.error")


class Unusable(Exception):
    """A model that can't be served; its text is one sentence that says why."""


@dataclass(frozen=True)
class Served:
    """A loaded model: MLflow's view of it, the DigitModel inside, and what is known of it."""

    pyfunc: Any
    model: Any
    facts: dict[str, Any]
    identity: tuple = ()

    @property
    def label(self) -> dict[str, str | None]:
        """Name and version, as each answer carries them."""
        return {"name": self.facts["name"], "version": self.facts["version"]}


class Champion:
    """What `uri` means now: models:/name@alias (followed), models:/name/3 or a folder (as they are at the start).

    `served` is replaced whole, so a request that has taken it ends on it. `problem` says why it isn't the newest.
    """

    def __init__(self, uri: str):
        self.uri, self.problem = uri, None
        self.registered = REGISTERED.fullmatch(uri)
        self._failed, self._failures, self._retry_at = None, 0, 0.0
        if self.registered:
            self.served = fetch(self._find(), self.registered["alias"])
        elif uri.startswith("models:"):
            raise Unusable(f"{uri} names no registered version; write models:/mnist@champion or models:/mnist/3")
        else:
            self.served = load(Path(uri), {}, {"name": None, "version": None, "alias": None})

    def follow(self) -> None:
        """Look at the alias for ever, from a thread that ends with the process."""
        if self.registered and self.registered["alias"]:
            threading.Thread(target=self._follow, name="follower", daemon=True).start()

    def look(self) -> None:
        """Serve the version that has the alias now; if that fails, serve on, and say why."""
        serves_on = f"version {self.served.facts['version']} serves on"
        try:
            version = self._find()
        except Unusable as error:
            self._trouble(f"{error}; {serves_on}")
            return
        if identity(version) == self.served.identity:
            self.problem = self._failed = None
            return
        if identity(version) == self._failed and time.monotonic() < self._retry_at:
            return
        try:
            self.served = fetch(version, self.registered["alias"])
        except Unusable as error:
            self._failures = self._failures + 1 if identity(version) == self._failed else 1
            self._failed = identity(version)
            self._retry_at = time.monotonic() + min(LONGEST_WAIT, POLL * 2**self._failures)
            self._trouble(f"{error}; {serves_on}")
            return
        self.problem = self._failed = None
        log.info("%s is version %s now", self.uri, version.version)

    def _follow(self) -> None:
        while True:
            time.sleep(POLL)
            try:
                self.look()
            except Exception:
                log.exception("the follower failed; it goes on")

    def _trouble(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem

    def _find(self):
        """The registered version that the URI means now."""
        import mlflow
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        name, alias, number = self.registered.group("name", "alias", "version")
        registry = mlflow.get_registry_uri()
        file = registry.removeprefix("sqlite:///")
        if file != registry and not Path(file).exists():  # MLflow would make an empty one
            raise Unusable(f"the registry {registry} doesn't exist; set MLFLOW_TRACKING_URI, or run make run first")
        try:
            client = mlflow.MlflowClient()
            return client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, number)
        except (MlflowException, SQLAlchemyError, ImportError, OSError) as error:
            raise Unusable(
                f"the registry {mlflow.get_tracking_uri()} gives no {self.uri}: {first_line(error)}"
            ) from None


def identity(version) -> tuple:
    """What makes two answers of the registry the same model; a store that was made anew may reuse numbers."""
    return version.version, version.tags.get("onnx_sha256"), version.tags.get("serving_code_sha256")


def fetch(version, alias: str | None) -> Served:
    """Copy a registered version out of the artifact store, and load it if it is what its tags say."""
    import mlflow

    known = {"name": version.name, "version": str(version.version), "alias": alias}
    expected = {key: version.tags.get(key) for key in ("onnx_sha256", "serving_code_sha256")}
    # A copy of its own: what is hashed is what is run, whatever happens to the store meanwhile.
    with TemporaryDirectory(prefix="model-") as scratch:
        try:
            uri = f"models:/{version.name}/{version.version}"
            folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=scratch))
        except Exception as error:
            raise Unusable(f"version {version.version} can't be fetched: {first_line(error)}") from None
        return load(folder, expected, known, identity(version))


def load(folder: Path, expected: dict[str, str | None], known: dict[str, Any], identity: tuple = ()) -> Served:
    """Load a model's folder; Unusable unless its files have the `expected` sha256 and it answers its golden images."""
    import mlflow
    from mlflow.models import Model

    what = f"version {known['version']}" if known["version"] else str(folder)
    try:
        described = Model.load(str(folder))
        flavor = described.flavors["python_function"]
        files = {
            "onnx_sha256": folder / flavor["artifacts"]["onnx"]["path"],
            "serving_code_sha256": folder / Path(flavor["model_code_path"]).name,
        }
        found = {key: sha256(path.read_bytes()).hexdigest() for key, path in files.items()}
    except Exception as error:
        raise Unusable(f"{what} is no model of this pipeline: {first_line(error)}") from None
    # Before anything of it is run.
    for key, digest in expected.items():
        if digest != found[key]:
            raise Unusable(f"{what} has not the {key} that was recorded when it was registered")
    try:
        # The golden images tell more than a comparison of version numbers, which takes a second.
        pyfunc = mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)
        model = pyfunc.unwrap_python_model()
        model.check()
    except Exception as error:
        raise Unusable(f"{what} can't be loaded: {first_line(error)}") from None
    if model.sha256 != found["onnx_sha256"]:
        raise Unusable(f"{what} runs another network than {files['onnx_sha256'].name}")
    metadata = described.metadata or {}
    facts = {**known, "name": known["name"] or metadata.get("dataset")}
    facts |= {"preset": metadata.get("model"), "dataset": metadata.get("dataset"), "sha256": model.sha256}
    facts |= {key: metadata.get(key) for key in ("val_accuracy", "test_accuracy")}
    return Served(pyfunc, model, facts, identity)


def first_line(error: Exception) -> str:
    """The first line of an error's text, or its kind where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
