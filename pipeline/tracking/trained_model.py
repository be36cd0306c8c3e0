"""One trained and evaluated model as it lies on disk, and the key that identifies its content."""

import json
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from pipeline.cli import UserError
from pipeline.data.pixels import raw_shape
from pipeline.files import missing_file_error, read_json, sha256_of
from pipeline.paths import LOCK, SERVING_CODE, Workspace

SERVING_PACKAGES = ("mlflow", "numpy", "onnxruntime")
# The registered model's files, by their names in MLflow: those that train writes, and those that evaluate writes.
MODEL_FILES = {"onnx": "model.onnx", "tflite": "model.tflite", "tflite_int8": "model_int8.tflite"}
REPORT_FILES = {"golden": "golden.json"}
KEY_DIGITS = 6  # decimals of metrics: processors differ in further ones, for the same files
RENAMED_INPUTS = {"repeats": "seeds_per_model"}  # entries of receipts that older versions wrote


@dataclass(frozen=True)
class TrainedModel:
    """What train and evaluate made of one preset: its two folders and what their JSON files say."""

    folder: Path
    report: Path
    receipt: dict[str, Any]
    metrics: dict[str, float]
    dataset: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.receipt["model"])

    @property
    def artifacts(self) -> dict[str, Path]:
        """The files of the registered model, by name."""
        files = {name: self.folder / file for name, file in MODEL_FILES.items()}
        return files | {name: self.report / file for name, file in REPORT_FILES.items()}

    @cached_property
    def artifacts_sha256(self) -> dict[str, str]:
        """The sha256 of each file in `artifacts`, as <name>_sha256."""
        return {f"{name}_sha256": sha256_of(path) for name, path in self.artifacts.items()}

    @cached_property
    def key(self) -> str:
        """The sha256 of everything the model was made of, everything it computes, and everything that serves it."""
        serving = {"serving": sha256_of(SERVING_CODE), "requirements": pin_serving_packages()}
        return hash_content(self._trained | serving)

    @property
    def trained_key(self) -> str:
        """Like `key`, but without what serves the model: it stays when serving code or pinned packages change."""
        return hash_content(self._trained)

    @cached_property
    def _trained(self) -> dict[str, Any]:
        made_of = {key: self.receipt[key] for key in ("model", "dataset", "data_sha256", "seed", "parameters")}
        metrics = {name: round(value, KEY_DIGITS) for name, value in self.metrics.items()}
        return made_of | {"files": self.artifacts_sha256, "metrics": metrics}

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one image as the model takes it: height and width, of colour images also 3 channels."""
        return raw_shape(self.dataset["image_shape"])

    @property
    def metadata(self) -> dict[str, Any]:
        """The facts that the registered model carries with it wherever it is copied, without a tracking store."""
        figures = {key: self.metrics[key] for key in ("val_accuracy", "test_accuracy", "parameters")}
        images = {key: self.dataset[key] for key in ("class_names", "image_shape", "resize")}
        onnx = self.artifacts_sha256["onnx_sha256"]
        return {"model": self.name, "dataset": self.dataset["name"], "onnx_sha256": onnx, **figures, **images}

    @property
    def tags(self) -> dict[str, str]:
        """The tags of its run and of its registered version; what is unknown is left out."""
        receipt = self.receipt
        code = json.dumps(receipt["code_sha256"], sort_keys=True)
        tags = {
            "content_key": self.key,
            "trained_key": self.trained_key,
            "model": self.name,
            "data_sha256": receipt["data_sha256"],
            "code_sha256": sha256(code.encode()).hexdigest(),
            "lock_sha256": receipt["lock_sha256"],
            "serving_code_sha256": sha256_of(SERVING_CODE),
            **self.artifacts_sha256,
            "onnx_size": (self.folder / "model.onnx").stat().st_size,
            "val_accuracy": self.metrics["val_accuracy"],
            "mlflow.source.git.commit": receipt["git"]["commit"],
            "git.dirty": receipt["git"]["dirty"],
            "dvc.stage": receipt["dvc"]["stage"],
            "dvc.experiment": receipt["dvc"]["experiment"],
        }
        return {key: str(value) for key, value in tags.items() if value is not None}


def hash_content(content: dict[str, Any]) -> str:
    """Return the sha256 of a content, whatever the order of its entries."""
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read(name: str, workspace: Workspace = Workspace()) -> TrainedModel:
    """Read one preset's trained model; raise UserError unless model, receipt and report belong together."""
    folder, report = workspace.model(name), workspace.report(name)
    receipt = read_receipt(folder)
    model = TrainedModel(folder, report, receipt, read_json(report / "metrics.json"), read_json(workspace.dataset))
    evaluated = report / "model.sha256"
    for path in (evaluated, *model.artifacts.values()):
        if not path.exists():
            raise missing_file_error(path)
    if evaluated.read_text().strip() != receipt["files_sha256"]["model.onnx"]:
        raise UserError(f"{report} was made of another model: run `dvc repro evaluate@{name}`")
    return model


def read_receipt(folder: Path) -> dict[str, Any]:
    """Read a model folder's receipt; raise UserError unless the files beside it are those it was written for."""
    receipt = {RENAMED_INPUTS.get(key, key): value for key, value in read_json(folder / "receipt.json").items()}
    for file, expected in receipt["files_sha256"].items():
        path = folder / file
        if not path.exists() or sha256_of(path) != expected:
            raise UserError(f"{path} is not the file that train@{folder.name} wrote: restore it with `dvc checkout`")
    return receipt


def pin_serving_packages() -> list[str]:
    """Return the packages of the served model, pinned as in requirements.lock for this Python: without TensorFlow."""
    lines = (line.removesuffix("\\").strip() for line in LOCK.read_text().splitlines() if line[:1].isalnum())
    locked = [Requirement(line) for line in lines]
    pinned = {r.name: f"{r.name}{r.specifier}" for r in locked if r.marker is None or r.marker.evaluate()}
    return [pinned[name] for name in SERVING_PACKAGES]
