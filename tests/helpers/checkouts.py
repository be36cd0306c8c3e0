"""Checkouts of the project with the files that `register` reads, as if models were trained and evaluated."""

import json
import re
import shutil
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime import InferenceSession

from pipeline.config.params import load
from pipeline.evaluation.metrics import choose_golden_images
from pipeline.paths import LOCK, SERVING_CODE, Workspace
from serving.images import INK
from tests.helpers.models import bright_values
from tests.helpers.params import PARAMS
from tests.helpers.project import SOURCE
from tests.helpers.trained import DATASET, PROBABILITIES, write_trained_model

IMAGES = 1000  # of validation: enough for the gate to see the difference between the models
# The presets of tests/helpers/params.yaml, with the number of classes, of ten, that each gets wrong.
PRESETS = {"perceptron": 7, "dense_10": 5, "dense_784_800": 4, "dense_512": 3, "cnn_2m": 1, "cnn_fast": 0}
BEST = "cnn_fast"


def write_checkout(folder: Path, dataset: str, presets: Mapping[str, int] = PRESETS) -> None:
    """Write a checkout with these presets, each with the number of classes that it gets wrong."""
    workspace = Workspace(folder)
    for path in (LOCK, SERVING_CODE):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SOURCE / path, folder / path)
    workspace.params.write_text(re.sub("(?m)^presets: .*$", f"presets: [{', '.join(presets)}]", PARAMS))
    params = load(workspace.params)
    description = json.dumps(DATASET | {"name": dataset})
    made_of = {"seed": 0, "dataset": dataset, "data_sha256": sha256(description.encode()).hexdigest()}
    for name, wrong in presets.items():
        parameters = params.model(name).model_dump(mode="json")
        write_trained_model(workspace, name, wrong, **made_of, parameters=parameters)
        (workspace.report(name) / "predictions.csv").write_text(predictions(wrong))
        (workspace.report(name) / "golden.json").write_text(json.dumps(golden_images(workspace.model(name))))
    workspace.dataset.write_text(description)


def golden_images(model: Path) -> dict[str, Any]:
    """Return golden.json of a model: its answers to an image of each class."""
    images = bright_values(INK, DATASET["classes"])
    (answers,) = InferenceSession(model / "model.onnx").run(None, {"pixels": images.astype(np.float32)})
    form = {"class_names": DATASET["class_names"], "resize": DATASET["resize"], "usual": None}
    return choose_golden_images(images, np.arange(len(images)), answers) | form


def predictions(wrong: int) -> str:
    """Return predictions.csv of a model that answers the last class for each class below `wrong`."""
    answers = [(image, image % 10, 9 if image % 10 < wrong else image % 10) for image in range(IMAGES)]
    rows = [f"val,{image},{label},{answer}{',0.1' * 10}" for image, label, answer in answers]
    return "\n".join([f"split,image,label,answer,{PROBABILITIES}", *rows, f"test,9,4,4{',0.1' * 10}", ""])
