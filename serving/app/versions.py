"""The other versions of the served model, for the page /inside."""

import gc
import logging
from collections.abc import Callable
from typing import TypeVar

import mlflow
from mlflow.entities.model_registry import ModelVersion
from starlette.exceptions import HTTPException

from serving.app.errors import overloaded
from serving.loaded_model import LoadedModel, version_identity
from serving.loading import ModelLoadError, fetch_version, first_line
from serving.model_source import ModelSource
from serving.verification import ALL_HASHES

MAX_LISTED = 50
Result = TypeVar("Result")

log = logging.getLogger("uvicorn.error")


class Versions:
    """Loads versions of the served model, and of no other model; one is kept in memory beside the served one."""

    def __init__(self, source: ModelSource):
        self.source = source
        self.kept: LoadedModel | None = None

    def describe(self) -> list[dict[str, str | None]]:
        """Return number and preset of the newest versions, the newest first; [] if the model isn't registered.

        Also [] if the registry doesn't answer: the served version can be shown without it.
        """
        try:
            found = self._find_versions()
        except HTTPException:
            return []
        return [{"version": str(version.version), "preset": version.tags.get("model")} for version in found]

    def use(self, number: str, function: Callable[[LoadedModel], Result]) -> Result:
        """Call a function with a version, which nothing else may hold: each waiting request would keep one in memory.

        Raises what `load` raises.
        """
        try:
            return function(self.load(number))
        except HTTPException as error:
            raise error.with_traceback(None) from None  # the traceback's frames hold the version

    def load(self, number: str) -> LoadedModel:
        """Return a version, verified as the served one is; 404 (HTTPException) if there is none, or it is refused."""
        version = next((found for found in self._find_versions() if str(found.version) == number), None)
        if version is None:
            raise HTTPException(404, "the served model has no such version; /inside/layers lists those that it has")
        if self.kept is not None and self.kept.identity == version_identity(version):
            return self.kept
        self.kept = None  # before the next is loaded, so that there are never two beside the served one
        gc.collect()  # a model is in reference cycles, and its threads end when it is freed
        try:
            self.kept = fetch_version(version, None)
        except ModelLoadError as error:
            raise HTTPException(404, first_line(error)) from None
        return self.kept

    def _find_versions(self) -> list[ModelVersion]:
        """Return the versions that can be verified, because they have the tag ALL_HASHES; newest first.

        503 (HTTPException) if the registry doesn't answer.
        """
        facts = self.source.loaded.facts
        if facts["version"] is None:
            return []
        try:
            found = mlflow.MlflowClient().search_model_versions(
                f"name = '{facts['name']}'", MAX_LISTED, ["version_number DESC"]
            )
        except Exception as error:  # a file, a database and a server raise different errors
            log.warning("the versions of %s can't be listed: %s", facts["name"], first_line(error))
            raise overloaded("the registry doesn't answer") from None
        return [version for version in found if ALL_HASHES in version.tags]
