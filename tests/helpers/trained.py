"""The files of a trained and evaluated model, without training: a network of known weights, and its other files."""

import json
from hashlib import sha256
from typing import Any

from pipeline.files import sha256_of
from pipeline.paths import Workspace
from tests.helpers.networks import write_onnx

PROBABILITIES = ",".join(f"p_{digit}" for digit in range(10))
PREDICTIONS = f"split,image,label,answer,{PROBABILITIES}\n" + "".join(
    f"{split},{image},{label},{answer}{',0.1' * 10}\n"
    for split, image, label, answer in (("val", 7, 1, 1), ("val", 8, 2, 3), ("test", 9, 4, 4))
)
DATASET = {
    "name": "digits",
    "seed": 7,
    "classes": 10,
    "class_names": list("0123456789"),
    "image_shape": [28, 28, 1],
    "resize": "ink",
    "sources_sha256": {"images": sha256(b"images").hexdigest(), "labels": sha256(b"labels").hexdigest()},
    "files_sha256": {"val/images.npy": sha256(b"validation").hexdigest()},
    "splits": {"train": {"images": 3}, "val": {"images": 2}, "test": {"images": 1}},
}


def write_data(workspace: Workspace, **changes: Any) -> None:
    """Write data/raw and data/prepared as dataset.json describes them."""
    workspace.raw.mkdir(parents=True, exist_ok=True)
    (workspace.prepared / "val").mkdir(parents=True, exist_ok=True)
    for name in ("images", "labels"):
        (workspace.raw / name).write_text(name)
    (workspace.prepared / "val/images.npy").write_text("validation")
    workspace.dataset.write_text(json.dumps(DATASET | changes))


def write_trained_model(workspace: Workspace, name: str = "tiny", wrong: int = 0, **receipt: Any) -> None:
    """Write the files that `train` and `evaluate` publish for one preset; `receipt` has entries that replace ours."""
    folder, report = workspace.model(name), workspace.report(name)
    folder.mkdir(parents=True)
    report.mkdir(parents=True)
    write_data(workspace)
    write_onnx(folder / "model.onnx", wrong)
    for file in ("model.keras", "model.tflite", "model_int8.tflite"):
        (folder / file).write_text(f"{file} {name} {wrong}")
    (folder / "history.csv").write_text("epoch,loss,val_accuracy\n1,0.5,0.25\n2,0.25,0.5\n")
    files = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
    content = {
        "model": name,
        "dataset": "digits",
        "data_sha256": sha256_of(workspace.dataset),
        "seed": 7,
        "seeds_per_model": 1,
        "parameters": {
            "family": "dense",
            "epochs": 2,
            "optimizer": {"name": "Adam", "arguments": {"learning_rate": 0.01}},
        },
        "training": f"training of {name} {wrong}",
        "started": "2026-01-02T03:04:00+00:00",
        "epochs": [
            {
                "epoch": number,
                "metrics": {"loss": 1 / (2 * number), "val_accuracy": number / 4},
                "seconds": 1.5,
                "finished": f"2026-01-02T03:04:0{number}+00:00",
                "system": {"cpu_utilization_percentage": 50.0},
            }
            for number in (1, 2)
        ],
        "files_sha256": files,
        "code_sha256": {"pipeline/train.py": "1" * 64},
        "lock_sha256": "2" * 64,
        "packages": {"python": "3.12.0", "keras": "3.15.0"},
        "machine": {"system": "Linux", "cores": 2, "threads": 2},
        "git": {"commit": "3" * 40, "dirty": False, "diff": None},
        "dvc": {"stage": f"train@{name}", "experiment": None, "baseline": None},
    }
    (folder / "receipt.json").write_text(json.dumps(content | receipt))
    metrics = {"val_accuracy": 1 - wrong / 10, "test_accuracy": 0.75, "parameters": 7840}
    (report / "metrics.json").write_text(json.dumps(metrics))
    (report / "model.sha256").write_text(files["model.onnx"] + "\n")
    (report / "golden.json").write_text('{"pixels": [], "answers": [], "probabilities": []}')
    (report / "predictions.csv").write_text(PREDICTIONS)
