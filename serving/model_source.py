"""The model that answers now, and the thread that follows the registry's alias to the next one."""

import gc
import logging
import re
import threading
import time
from pathlib import Path

from serving.loading import Unusable, fetch, fetch_folder, identity, told, without_password

LONGEST_WAIT = 300.0  # seconds until a version that failed is tried again
REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")

log = logging.getLogger("uvicorn.error")


class Champion:
    """What `uri` means now: models:/name@alias (followed), models:/name/3 or a folder (as they are at the start).

    `served` is replaced whole, so a request that has taken it ends on it. `problem` says why it isn't the newest.
    """

    def __init__(self, uri: str, seconds: float = 2.0):
        """Load it; Unusable if that fails. `seconds` pass between two looks at the alias."""
        self.uri, self.seconds, self.problem = uri, seconds, None
        self.registered = REGISTERED.fullmatch(uri)
        self._failed, self._why, self._failures, self._retry_at = None, "", 0, 0.0
        if self.registered:
            self.served = fetch(self._find(), self.registered["alias"])
        elif uri.startswith("models:"):
            raise Unusable(f"{uri} names no registered version; write models:/mnist@champion or models:/mnist/3")
        else:
            self.served = fetch_folder(Path(uri))

    def follow(self) -> None:
        """Look at the alias for ever, from a thread that ends with the process."""
        if self.registered and self.registered["alias"]:
            threading.Thread(target=self._follow, name="follower", daemon=True).start()

    def look(self) -> None:
        """Serve the version that has the alias now; if that fails, serve on, and say why."""
        try:
            version = self._find()
        except Unusable as error:
            self._trouble(str(error))
            return
        wanted = identity(version)
        if wanted == self.served.identity:
            self.problem = self._failed = None
        elif wanted == self._failed and time.monotonic() < self._retry_at:
            self._trouble(self._why)
        else:
            self._change_to(version)

    def _change_to(self, version) -> None:
        """Load a version beside the old one, then put it in its place; wait longer after each failure of the same."""
        try:
            self.served = fetch(version, self.registered["alias"])
        except Unusable as error:
            self._failures = self._failures + 1 if identity(version) == self._failed else 1
            self._failed, self._why = identity(version), str(error)
            self._retry_at = time.monotonic() + min(LONGEST_WAIT, self.seconds * 2**self._failures)
            self._trouble(self._why)
            return
        self.problem = self._failed = None
        gc.collect()  # the old model has cycles, and threads that end with it
        log.info("%s is version %s now", self.uri, version.version)

    def _follow(self) -> None:
        while True:
            time.sleep(self.seconds)
            try:
                self.look()
            except Exception:
                log.exception("the follower failed; it goes on")

    def _trouble(self, why: str) -> None:
        problem = f"{why}; version {self.served.facts['version']} serves on"
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem

    def _find(self):
        """The registered version that the URI means now."""
        import mlflow

        name, alias, number = self.registered.group("name", "alias", "version")
        registry = mlflow.get_registry_uri()
        file = registry.removeprefix("sqlite:///")
        if file != registry and not Path(file).exists():  # MLflow would make an empty one
            raise Unusable(f"the registry {registry} doesn't exist: set MLFLOW_TRACKING_URI, or run make run first")
        try:
            client = mlflow.MlflowClient()
            return client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, number)
        except Exception as error:  # a store may be a file, a database or a server, and each has its own
            raise Unusable(f"the registry {without_password(registry)} has no {self.uri}: {told(error)}") from None
