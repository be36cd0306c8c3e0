"""The work of the worker threads: from a request's bytes to the model's answers; HTTPException if they are wrong."""

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel, scoring_server
from PIL.ImageFile import ImageFile
from starlette.exceptions import HTTPException

from serving import images
from serving.app import mlflow_json
from serving.doubt import find_doubts
from serving.images import Form
from serving.loaded_model import LoadedModel

Answer = Mapping[str, object]  # to one image


def pixels_of(body: bytes, form: Form) -> np.ndarray:
    """Return raw bytes, one per pixel and colour, as uint8 [n, *form.shape]; 400 (HTTPException) if they don't fit."""
    size = math.prod(form.shape)
    if not body or len(body) % size:
        each = "pixel" if form.channels == 1 else "pixel and colour: red, green, blue"
        raise HTTPException(400, f"expected {size} bytes per image, one per {each}; got {len(body):,} bytes")
    return np.frombuffer(body, np.uint8).reshape(-1, *form.shape)


def score_pixels(loaded: LoadedModel, pixels: np.ndarray) -> list[Answer]:
    """Return the model's answers to uint8 [n, *form.shape], each with `sure`, and with `reason` if it isn't sure.

    If the model's evaluation published nothing to judge this by, the answers have neither.
    """
    try:
        predictions = loaded.model.predict(None, pixels)
    except MlflowException as error:
        raise HTTPException(400, error.message) from None
    if loaded.usual is None:
        return list(predictions)
    probabilities = np.array([prediction["probabilities"] for prediction in predictions])
    doubts = find_doubts(pixels, probabilities, loaded.usual, loaded.form.resize == "ink")
    return [
        {**prediction, "sure": doubt is None, **({"reason": doubt} if doubt else {})}
        for prediction, doubt in zip(predictions, doubts, strict=True)
    ]


def open_files(files: Sequence[bytes]) -> list[ImageFile]:
    """Open PNG, JPEG and WebP files as far as their headers; 400 (HTTPException) if one of them is refused."""
    opened = []
    for number, file in enumerate(files, 1):
        with naming_file(number, len(files)):
            opened.append(images.open_image(file, images.WEB_FORMATS))
    with naming_file(0, 1):
        images.require_pixels(sum(map(images.count_pixels, opened)), "the images together are too large")
    return opened


def prepare_next(opened: list[ImageFile], form: Form, number: int, files: int) -> np.ndarray:
    """Take the first of the opened files out of the list, and return it as uint8 [*form.shape].

    Nothing else may hold that file: its decoded pixels are freed as soon as they aren't needed. If it is refused, 400
    (HTTPException), which names its `number`.
    """
    with naming_file(number, files):
        return images.bring_to_form(images.decode(opened.pop(0), form), form)


@contextmanager
def naming_file(number: int, files: int) -> Iterator[None]:
    """Turn an ImageError into a 400 that names the file by its number, if there are several."""
    try:
        yield
    except images.ImageError as error:
        raise HTTPException(400, f"file {number}: {error}" if files > 1 else str(error)) from None


def with_pixels(predictions: Sequence[Answer], pixels: Sequence[np.ndarray]) -> list[Answer]:
    """Return the model's answers, each with the pixels that the network was given, in base64."""
    encoded = [base64.b64encode(image.tobytes()).decode() for image in pixels]
    return [{**prediction, "pixels": image} for prediction, image in zip(predictions, encoded, strict=True)]


def score_json(
    loaded: LoadedModel, body: bytes
) -> tuple[scoring_server.InvocationsResponse, np.ndarray, Sequence[Answer]]:
    """Return the response of `mlflow models serve` to a JSON body, the pixels in it, and the model's answers."""
    try:
        content, _ = mlflow_json.parse(body, loaded.model)
    except mlflow_json.FormError as error:
        raise HTTPException(400, str(error)) from None
    given: list[tuple[np.ndarray, Sequence[Answer]]] = []

    def predict(pixels: np.ndarray) -> Sequence[Answer]:
        given.append((pixels, loaded.model.predict(None, pixels)))
        return given[0][1]

    metadata = loaded.pyfunc.metadata
    response = scoring_server.invocations(  # type: ignore[no-untyped-call]  # MLflow leaves it untyped
        content,
        scoring_server.CONTENT_TYPE_JSON,
        PyFuncModel(metadata, SimpleNamespace(predict=predict)),
        metadata.get_input_schema(),  # type: ignore[no-untyped-call]  # MLflow leaves it untyped
    )
    ((pixels, answers),) = given
    return response, pixels, answers
