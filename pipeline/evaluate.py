"""Measure one exported model, models/<model>/, on validation and test images: to reports/<model>/.

ONNX Runtime runs the very file that is served, LiteRT those for phones. The test split is read here and nowhere else.
"""

import json
from pathlib import Path

import numpy as np

from pipeline.cli import UserError, run, silence_stderr
from pipeline.config.params import load
from pipeline.data.pixels import denormalise
from pipeline.files import publish, read_json, sha256_of, write_json

MODELS, PREPARED, REPORTS = Path("models"), Path("data/prepared"), Path("reports")
BATCH = 1000


def main(name: str) -> None:
    load().model(name)

    import pandas as pd

    from pipeline import inference as litert
    from pipeline.evaluation import metrics as measures
    from pipeline.evaluation import plots as figures

    sessions = [open_model(path) for path in exported(name)]  # the first is the published model
    metrics: dict[str, float | int] = {"parameters": int(sessions[0].get_modelmeta().custom_metadata_map["parameters"])}
    tables, differing = [], 0
    for split in ("val", "test"):
        images, labels, index = load_split(split)
        pixels = denormalise(images)
        answers = [predict(session, pixels) for session in sessions]
        probabilities = answers[0]
        scores = [measures.score(labels, each) for each in answers]
        spread = measures.spread([score["accuracy"] for score in scores]) if len(scores) > 1 else {}
        metrics |= {f"{split}_{key}": value for key, value in (scores[0] | spread).items()}
        with silence_stderr():
            lite, int8 = (litert.run(MODELS / name / file, pixels) for file in ("model.tflite", "model_int8.tflite"))
        differing += int((lite.argmax(axis=1) != probabilities.argmax(axis=1)).sum())
        metrics[f"int8_{split}_accuracy"] = measures.score(labels, int8)["accuracy"]
        tables.append(measures.predictions(split, index, labels, probabilities))
        if split == "val":
            golden = measures.golden(pixels, labels, probabilities)
    # A figure and not a fault: train has refused an export that answers otherwise, but two classes may tie.
    metrics["litert_differing_labels"] = differing
    if len(sessions) > 1:
        metrics["seeds_per_model"] = len(sessions)
    with publish(REPORTS / name) as folder:
        write_json(folder / "metrics.json", metrics)
        (folder / "model.sha256").write_text(sha256_of(MODELS / name / "model.onnx") + "\n")
        pd.concat(tables).to_csv(folder / "predictions.csv", index=False, float_format="%.6f")
        (folder / "golden.json").write_text(json.dumps(golden) + "\n")
        # What follows shows the test split, which was read last.
        measures.per_class(labels, probabilities).to_csv(folder / "classes.csv", index=False, float_format="%.6f")
        figures.confusion(labels, probabilities.argmax(axis=1), folder / "confusion_matrix.png")
        figures.mistakes(images, labels, probabilities, folder / "mistakes.png")
        figures.learning_curves(pd.read_csv(MODELS / name / "history.csv"), folder / "learning_curves.png")
    print(f"{name}  val_accuracy {metrics['val_accuracy']:.4f}  test_accuracy {metrics['test_accuracy']:.4f}")


def exported(name: str) -> list[Path]:
    """The ONNX files of one model: the published one, then those of the further seeds that `repeats` asked for."""
    folder = MODELS / name
    seeds = read_json(folder / "further_seeds" / "seeds.json")["further_seeds"]
    return [folder / "model.onnx", *(folder / "further_seeds" / f"{seed}.onnx" for seed in seeds)]


def open_model(path: Path):
    """An ONNX Runtime session on the CPU; UserError if the file is missing."""
    import onnxruntime

    if not path.exists():
        raise UserError(f"{path} is missing: run `dvc repro`, which trains it first")
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def load_split(split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalised images [n, 28, 28, 1], labels as numbers [n], and the images' places in the raw file [n]."""
    images, one_hot, index = (
        np.load(PREPARED / split / f"{part}.npy", mmap_mode="r") for part in ("images", "labels", "index")
    )
    return images, one_hot.argmax(axis=1), index


def predict(session, pixels: np.ndarray) -> np.ndarray:
    """Probabilities, float32 [n, classes], for raw pixels, float32 [n, 28, 28]."""
    batches = (pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH))
    return np.concatenate([session.run(None, {"pixels": batch})[0] for batch in batches])


if __name__ == "__main__":
    run(main, "model")
