"""A model registry in memory, in place of MLflow's client."""

from types import SimpleNamespace

from pipeline.evaluation.gate import Candidate
from pipeline.tracking import promotion
from pipeline.tracking.store import Store
from tests.helpers.candidates import POLICY


class Registry:
    """An MLflow client's registry, in memory; after `fuse` more writes, the next one raises KeyboardInterrupt."""

    def __init__(self, **candidates: Candidate):
        self.aliases: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.versions = {}
        self.candidates = candidates
        self.fuse = -1
        self.champions: list[str | None] = []  # before each write
        for number, name in enumerate(candidates, start=1):
            accuracy = candidates[name].correct.mean()
            tags = {"val_accuracy": str(accuracy), "content_key": name, "model": name, "onnx_sha256": name}
            self.versions[str(number)] = SimpleNamespace(version=str(number), tags=tags, name="digits", run_id=name)
        self.store = Store(self, "1", "digits")

    def burn(self) -> None:
        self.champions.append(self.aliases.get("champion"))
        if self.fuse == 0:
            raise KeyboardInterrupt
        self.fuse -= 1

    def get_registered_model(self, name: str):
        return SimpleNamespace(aliases=dict(self.aliases), tags=dict(self.tags))

    def search_model_versions(self, condition: str) -> list:
        return list(self.versions.values())

    def get_model_version(self, name: str, number: str):
        return self.versions[number]

    def get_run(self, run_id: str):
        return SimpleNamespace()

    def set_registered_model_alias(self, name: str, alias: str, number: str) -> None:
        self.burn()
        self.aliases[alias] = number

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        self.burn()
        del self.aliases[alias]

    def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        self.burn()
        self.tags[key] = value

    def set_model_version_tag(self, name: str, number: str, key: str, value: str) -> None:
        self.burn()
        self.versions[number].tags[key] = value

    def promote(self, *names: str) -> dict[str, dict]:
        chosen = [version for version in self.versions.values() if version.tags["model"] in names]
        return promotion.promote(self.store, chosen, POLICY)
