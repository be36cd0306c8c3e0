"""What the worker threads do: bytes of a request to the model's answers. HTTPException says what is wrong with them."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from PIL.ImageFile import ImageFile
from starlette.exceptions import HTTPException

from serving import images
from serving.app import mlflow_json
from serving.doubt import find_doubts
from serving.loading import LoadedModel

if TYPE_CHECKING:
    from serving.model import Prediction

Answer = Mapping[str, object]  # to one image
SIDE = 28


def pixels_of(body: bytes) -> np.ndarray:
    """Return raw bytes, one per pixel, as uint8 [n, 28, 28]."""
    if not body or len(body) % SIDE**2:
        raise HTTPException(400, f"expected {SIDE**2} bytes per image, one per pixel; got {len(body):,} bytes")
    return np.frombuffer(body, np.uint8).reshape(-1, SIDE, SIDE)


def score_pixels(loaded: LoadedModel, pixels: np.ndarray) -> list[Answer]:
    """Return the model's answers to uint8 [n, 28, 28], each with whether it is sure, and if not, why."""
    try:
        predictions = loaded.model.predict(None, pixels)
    except MlflowException as error:
        raise HTTPException(400, error.message) from None
    return add_doubts(predictions, pixels, loaded.model.golden.get("usual"))


def add_doubts(predictions: "list[Prediction]", pixels: np.ndarray, usual: dict[str, Any] | None) -> list[Answer]:
    """Return predictions with `sure`, and where that is false a `reason`.

    Those of a model that was evaluated before this existed stay as they are.
    """
    if usual is None:
        return list(predictions)
    doubts = find_doubts(pixels, np.array([prediction["probabilities"] for prediction in predictions]), usual)
    return [
        {**prediction, "sure": doubt is None, **({"reason": doubt} if doubt else {})}
        for prediction, doubt in zip(predictions, doubts, strict=True)
    ]


def open_files(files: Sequence[bytes]) -> list[ImageFile]:
    """Return PNG and JPEG files, opened as far as their headers; 400 (HTTPException) if one can't be answered."""
    opened = []
    for number, file in enumerate(files, 1):
        with naming_file(number, len(files)):
            opened.append(images.open_image(file, images.WEB_FORMATS))
    with naming_file(0, 1):
        images.require_pixels(sum(map(images.count_pixels, opened)), "the images together are too large")
    return opened


def prepare(image: ImageFile, number: int, files: int) -> np.ndarray:
    """Return an opened file in MNIST's form, uint8 [28, 28]; 400 (HTTPException), with its `number` of `files`."""
    with naming_file(number, files):
        return images.bring_to_form(images.decode(image, images.INK), images.INK)


@contextmanager
def naming_file(number: int, files: int) -> Iterator[None]:
    """Turn an ImageError into a 400 that names the file by its number, if there are several."""
    try:
        yield
    except images.ImageError as error:
        raise HTTPException(400, f"file {number}: {error}" if files > 1 else str(error)) from None


def with_pixels(predictions: Sequence[Answer], pixels: Sequence[np.ndarray]) -> list[Answer]:
    """Return the model's answers, each with the 28×28 pixels that the network was given."""
    encoded = [base64.b64encode(image.tobytes()).decode() for image in pixels]
    return [{**prediction, "pixels": image} for prediction, image in zip(predictions, encoded, strict=True)]


def score_json(loaded: LoadedModel, body: bytes) -> tuple[scoring_server.InvocationsResponse, int]:
    """Return what `mlflow models serve` answers to a JSON body, and the number of images in it."""
    try:
        content, count = mlflow_json.parse(body)
    except mlflow_json.FormError as error:
        raise HTTPException(400, str(error)) from None
    schema = loaded.pyfunc.metadata.get_input_schema()  # type: ignore[no-untyped-call]  # MLflow leaves it untyped
    answer = scoring_server.invocations(  # type: ignore[no-untyped-call]  # MLflow leaves it untyped
        content, scoring_server.CONTENT_TYPE_JSON, loaded.pyfunc, schema
    )
    return answer, count
