"""Where the served model comes from, and the thread that follows a registry's alias to its next version."""

import gc
import logging
import random
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from serving.environment import without_password
from serving.loaded_model import Identity, version_identity
from serving.loading import ModelLoadError, fetch_folder, fetch_version, first_line

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

MAX_RETRY_DELAY_S = 300.0
JITTER = (0.8, 1.2)  # times the seconds between lookups, because replicas that start together would all ask at once
MAX_LISTED = 10  # models that an error lists if the requested one doesn't exist
REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")

log = logging.getLogger("uvicorn.error")


class ModelSource:
    """The model that `uri` names: models:/name@alias (followed), models:/name/3 or a folder (both fixed at the start).

    `loaded` is replaced as a whole, so a request ends with the model that it began with. `problem` says why the version
    of the alias isn't served; None if it is.
    """

    def __init__(self, uri: str, poll_seconds: float = 2.0):
        """Load the model; ModelLoadError if that fails. The alias is looked up every `poll_seconds`."""
        self.uri, self.poll_seconds = uri, poll_seconds
        self.problem: str | None = None
        self._failed: Identity | None = None
        self._failure, self._failures, self._retry_at = "", 0, 0.0
        self._registered = REGISTERED.fullmatch(uri)
        self.alias: str | None = self._registered["alias"] if self._registered else None
        if self._registered:
            self.loaded = fetch_version(self._find_version(True), self.alias)
        elif uri.startswith("models:"):
            raise ModelLoadError(f"{uri} names no registered version; write models:/mnist@champion or models:/mnist/3")
        else:
            self.loaded = fetch_folder(Path(uri))

    def start_following(self) -> None:
        """Start a thread that looks up the alias until the process ends; without an alias, do nothing."""
        if self.alias:
            threading.Thread(target=self._follow, name="follower", daemon=True).start()

    def update(self) -> None:
        """Serve the version that has the alias now; if that fails, keep the current one and set `problem`."""
        try:
            version = self._find_version()
        except Exception as error:
            self._report(first_line(error), error)
            return
        wanted = version_identity(version)
        if wanted == self.loaded.identity:
            self.problem = self._failed = None
        elif wanted == self._failed and time.monotonic() < self._retry_at:
            self._report(self._failure)
        else:
            self._replace_by(version)

    def _replace_by(self, version: "ModelVersion") -> None:
        """Load a version beside the current one, then swap them; wait longer after each failure of the same version."""
        try:
            self.loaded = fetch_version(version, self.alias)
        except Exception as error:
            identity = version_identity(version)
            self._failures = self._failures + 1 if identity == self._failed else 1
            self._failed, self._failure = identity, first_line(error)
            self._retry_at = time.monotonic() + min(MAX_RETRY_DELAY_S, self.poll_seconds * 2**self._failures)
            self._report(self._failure, error)
            return
        self.problem = self._failed = None
        gc.collect()  # the old model is in reference cycles, and its threads end when it is freed
        log.info("%s is version %s now", self.uri, version.version)

    def _follow(self) -> None:
        while True:
            time.sleep(self.poll_seconds * random.uniform(*JITTER))
            self.update()

    def _report(self, cause: str, error: Exception | None = None) -> None:
        """Set `problem`, and log it if it is new, with a stack trace unless `error` is a ModelLoadError."""
        problem = f"{cause}; version {self.loaded.facts['version']} is still served"
        if problem != self.problem:
            log.warning("%s", problem, exc_info=None if isinstance(error, ModelLoadError) else error)
        self.problem = problem

    def _find_version(self, list_others: bool = False) -> "ModelVersion":
        """Return the registered version that the URI names now; ModelLoadError if the registry doesn't have it.

        The error lists other models only if `list_others`, at the start: /readyz shows later errors to anyone.
        """
        import mlflow

        assert self._registered is not None  # a folder has no versions to look for
        name, alias, number = self._registered.group("name", "alias", "version")
        registry = mlflow.get_registry_uri()
        file = registry.removeprefix("sqlite:///")
        if file != registry and not Path(file).exists():  # MLflow would create an empty one
            raise ModelLoadError(
                f"the registry {registry} doesn't exist: set MLFLOW_TRACKING_URI, or run make run first"
            )
        try:
            client = mlflow.MlflowClient()
            return client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, number)
        except Exception as error:  # a file, a database and a server raise different errors
            cause = first_line(error) + (list_registered() if list_others else "")
            raise ModelLoadError(f"the registry {without_password(registry)} has no {self.uri}: {cause}") from None


def list_registered() -> str:
    """Return the end of an error's text: URIs of the registry's models with aliases; "" if it doesn't answer."""
    import mlflow

    try:
        models = mlflow.MlflowClient().search_registered_models(max_results=MAX_LISTED)
    except Exception:  # the caller's error says why
        return ""
    uris = [f"models:/{model.name}@{alias}" for model in models for alias in sorted(model.aliases)]
    return f"; it has {', '.join(uris) or 'no model with an alias'}"
