"""A stand-in for DVC's cache."""

import json
from collections.abc import Mapping
from hashlib import md5
from pathlib import Path

from ruamel.yaml import YAML

from pipeline.paths import Workspace

REPORTS = ("metrics.json", "model.sha256", "golden.json", "predictions.csv")


class Cache:
    """A cache like that of DVC, and the records of its run cache."""

    def __init__(self, folder: Path):
        self.folder = folder

    def put(self, content: bytes) -> str:
        digest = md5(content).hexdigest()
        path = self.folder / "files/md5" / digest[:2] / digest[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return digest

    def put_folder(self, files: Mapping[str, bytes]) -> str:
        """Put a folder's files, and the list of them, whose md5 is returned."""
        entries = [{"relpath": path, "md5": self.put(content)} for path, content in files.items()]
        return self.put(json.dumps(entries).encode())

    def record(self, cmd: str, deps: dict[str, str], outs: dict[str, str]) -> dict:
        """Record a stage's run; dependencies and outputs are given as md5 by path."""
        entry = {
            "cmd": cmd,
            "deps": [{"path": path, "md5": digest} for path, digest in deps.items()],
            "outs": [{"path": path, "md5": digest} for path, digest in outs.items()],
        }
        path = self.folder / "runs" / md5(json.dumps(entry).encode()).hexdigest()
        path.parent.mkdir(parents=True, exist_ok=True)
        YAML().dump(entry, path)
        return entry

    def record_model(self, workspace: Workspace, name: str) -> tuple[dict, dict]:
        """Record the training and the evaluation of a model."""
        dataset = self.put(workspace.dataset.read_bytes())
        files = {path.name: path.read_bytes() for path in sorted(workspace.model(name).iterdir())}
        outs = {f"models/{name}": self.put_folder(files)}
        training = self.record(f"python -m pipeline.train {name}", {"data/prepared/dataset.json": dataset}, outs)
        deps = {f"models/{name}/{file}": self.put(content) for file, content in files.items()}
        outs = {f"reports/{name}/{file}": self.put((workspace.report(name) / file).read_bytes()) for file in REPORTS}
        return training, self.record(f"python -m pipeline.evaluate {name}", deps, outs)
