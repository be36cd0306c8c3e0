"""One model's report: the answers of its exported files, the metrics of these answers, and the files of the report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline import inference
from pipeline.cli import UserError, silence_stderr
from pipeline.data.arrays import FloatArray, IntArray
from pipeline.data.pixels import as_raw
from pipeline.data.prepared import Split
from pipeline.evaluation import doubt, drift, layer_plots, metrics, plots
from pipeline.files import read_json, write_json
from serving.layers import NetworkLayers

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


@dataclass(frozen=True)
class Answers:
    """What the exported files of one model answer to the images of one split: probabilities, float32 [n, classes]."""

    split: Split
    by_seed: Sequence[FloatArray]
    """The answers of each seed's ONNX file; the first is the published model."""
    litert: FloatArray
    int8: FloatArray

    @property
    def labels(self) -> IntArray:
        """The labels as numbers, int64 [n]."""
        return self.split.labels.astype(np.int64)

    @property
    def published(self) -> FloatArray:
        return self.by_seed[0]


def exported_paths(model: Path) -> list[Path]:
    """Return the ONNX files of one model: the published one, then those of its further seeds."""
    seeds = read_json(model / "further_seeds" / "seeds.json")["further_seeds"]
    return [model / "model.onnx", *(model / "further_seeds" / f"{seed}.onnx" for seed in seeds)]


def answer(sessions: Sequence["InferenceSession"], model: Path, split: Split) -> Answers:
    """Return the answers of the ONNX files, opened as `sessions`, and of the two LiteRT files in the folder `model`."""
    pixels = as_raw(split.pixels)
    by_seed = [inference.predict_onnx(session, pixels) for session in sessions]
    with silence_stderr():
        litert = inference.predict_litert(model / "model.tflite", pixels)
        int8 = inference.predict_litert(model / "model_int8.tflite", pixels)
    return Answers(split, by_seed, litert, int8)


def compute_metrics(described: Mapping[str, str], answers: Mapping[str, Answers]) -> dict[str, float | int]:
    """Return the content of metrics.json, from the ONNX file's metadata and the answers to each split.

    Raise UserError for a file that an older version wrote.
    """
    if "temperature" not in described:
        raise UserError("model.onnx was written by an older version: run `dvc repro`, which trains the model again")
    found: dict[str, float | int] = {
        "parameters": int(described["parameters"]),
        "temperature": float(described["temperature"]),
    }
    differing, seeds = 0, 1
    for name, given in answers.items():
        labels, seeds = given.labels, len(given.by_seed)
        scores = [metrics.score(labels, probabilities) for probabilities in given.by_seed]
        spread = metrics.summarise_seeds([score["accuracy"] for score in scores]) if seeds > 1 else {}
        found |= {f"{name}_{key}": value for key, value in (scores[0] | spread).items()}
        differing += int((given.litert.argmax(axis=1) != given.published.argmax(axis=1)).sum())
        found[f"int8_{name}_accuracy"] = metrics.score(labels, given.int8)["accuracy"]
    # A metric and not an error: train has refused exports with other answers, but answers may differ if classes tie.
    found["litert_differing_labels"] = differing
    if seeds > 1:
        found["seeds_per_model"] = seeds
    return found


def write_report(
    folder: Path,
    found: Mapping[str, float | int],
    answers: Mapping[str, Answers],
    history: pd.DataFrame,
    dataset: Mapping[str, Any],
    inside: NetworkLayers,
) -> None:
    """Write the report's files: metrics, predictions, golden images (of val), tables and pictures (of test).

    `dataset` is the content of dataset.json, `inside` the layers of the published network.
    """
    names: list[str] = dataset["class_names"]
    write_json(folder / "metrics.json", found)
    tables = [
        metrics.tabulate_predictions(name, given.split.index, given.labels, given.published, names)
        for name, given in answers.items()
    ]
    # Nine digits restore a float32 exactly, so metrics computed from this file equal those in metrics.json.
    pd.concat(tables).to_csv(folder / "predictions.csv", index=False, float_format="%.9g")
    val, test = answers["val"], answers["test"]
    pixels = as_raw(val.split.pixels)
    golden = metrics.choose_golden_images(pixels, val.labels, val.published)
    is_ink = dataset["resize"] == "ink"
    golden |= {"class_names": names, "resize": dataset["resize"]}
    golden |= {"usual": doubt.fit(pixels, val.published, is_ink)}
    golden |= {"reference": drift.fit(pixels, val.published, is_ink)}
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    labels = test.labels
    metrics.score_classes(labels, test.published, names).to_csv(
        folder / "classes.csv", index=False, float_format="%.10g"
    )
    plots.plot_confusion(labels, test.published.argmax(axis=1), names, folder / "confusion_matrix.png")
    plots.plot_mistakes(as_raw(test.split.pixels), labels, test.published, names, folder / "mistakes.png")
    plots.plot_learning_curves(history, folder / "learning_curves.png")
    write_layers(folder, inside, test, names)


def write_layers(folder: Path, inside: NetworkLayers, test: Answers, class_names: Sequence[str]) -> None:
    """Draw the layers' outputs for one test image, and many test images placed by the last hidden layer's output."""
    pixels = as_raw(test.split.pixels)
    layer_plots.plot_layers(inside, pixels[0], class_names, folder / "layers.png")
    shown = np.linspace(0, len(pixels) - 1, min(len(pixels), layer_plots.EMBEDDED)).astype(int)
    by, features = "the output", test.published[shown]
    if inside.layers:
        by, features = layer_plots.compute_features(inside, pixels[shown])
    layer_plots.plot_embedding(features, test.labels[shown], class_names, by, folder / "embedding.png")
