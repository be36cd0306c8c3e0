"""The pictures of the page on all models, as data inside it."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.commands.report_answers import Answers
from pipeline.data.arrays import FloatArray, UInt8Array
from pipeline.data.pixels import as_raw
from pipeline.data.prepared import load_split
from pipeline.inference import count_batch_images, open_onnx, predict_onnx
from pipeline.paths import Workspace

SUPPORTED = 12  # mistakes of each model that are shown with what supports the answer
SAMPLES = 8  # training images of each class
MOST_SHOWN = 30  # classes of which counts, samples and extremes are shown


def encode_png(pixels: UInt8Array) -> str:
    """Return an image [height, width] or [height, width, 3] as a PNG file in base64."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


def read_picture(name: str, file: str, workspace: Workspace) -> str:
    """Return a picture that evaluate has drawn of a model, in base64."""
    return base64.b64encode((workspace.report(name) / file).read_bytes()).decode()


def show_support(name: str, pixels: UInt8Array, given: Sequence[int], is_ink: bool, workspace: Workspace) -> list[str]:
    """Return the first SUPPORTED images, with what supports the model's answers to them, each as PNG in base64."""
    from pipeline.evaluation.gallery import overlay
    from pipeline.evaluation.metrics import SMALLEST_PROBABILITY
    from serving.occlusion import measure_losses

    session = open_onnx(workspace.model(name) / "model.onnx")

    def answer(images: UInt8Array) -> FloatArray:
        logarithms: FloatArray = np.log(np.maximum(predict_onnx(session, images), SMALLEST_PROBABILITY))
        return logarithms

    most = count_batch_images(pixels.shape[1:])
    return [
        encode_png(overlay(image, measure_losses(answer, image, is_ink, most)[..., number]))
        for image, number in zip(pixels[:SUPPORTED], given, strict=False)
    ]


def show_examples(answers: Answers, pixels: UInt8Array, classes: int) -> list[list[str]]:
    """Return for each label and answer the image that the model was surest of, "" where there is none."""
    surest = {}
    for place in np.argsort(answers.confidence, kind="stable"):  # the surest one comes last and stays
        surest[int(answers.labels[place]), int(answers.given[place])] = place
    return [
        [encode_png(pixels[surest[label, given]]) if (label, given) in surest else "" for given in range(classes)]
        for label in range(classes)
    ]


def show_extremes(answers: Answers, pixels: UInt8Array, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return for each class the surest and the least sure right answer, with images; [] if there are many classes."""
    from pipeline.evaluation.gallery import find_extremes

    if len(class_names) > MOST_SHOWN:
        return []
    return [
        {
            "name": class_names[label],
            "places": [
                {
                    "png": encode_png(pixels[place]),
                    "confidence": f"{answers.confidence[place]:.1%}",
                    "place": str(answers.index[place]),
                }
                for place in places
            ],
        }
        for label, *places in find_extremes(answers.labels, answers.confidence, answers.is_right)
    ]


def show_augmented(name: str, workspace: Workspace) -> list[str]:
    """Return training images beside their augmented forms, a picture each; [] for a model without augmentation.

    Return [] for a model that an older version trained, too.
    """
    path = workspace.model(name) / "augmented.npy"
    rows = np.load(path) if path.exists() else []
    return [encode_png(np.concatenate([*as_raw(row)], axis=1)) for row in rows]


def show_samples(class_names: Sequence[str], workspace: Workspace) -> list[dict[str, Any]]:
    """Return for each class its first training images, side by side in one picture; [] if there are many classes."""
    if len(class_names) > MOST_SHOWN:
        return []
    train = load_split(workspace.prepared, "train")
    shown = []
    for number, name in enumerate(class_names):
        places = np.flatnonzero(train.labels == number)[:SAMPLES]
        if len(places):
            images = as_raw(train.pixels[places])
            shown.append({"name": name, "png": encode_png(np.concatenate([*images], axis=1)), "number": len(places)})
    return shown
