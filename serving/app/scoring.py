"""What the worker threads do: bytes of a request to the model's answers. HTTPException says what is wrong with them."""

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from starlette.exceptions import HTTPException

from serving import images
from serving.app import mlflow_json
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


def score_pixels(loaded: LoadedModel, pixels: np.ndarray) -> "list[Prediction]":
    """Return the model's answers to uint8 [n, 28, 28]."""
    try:
        return loaded.model.predict(None, pixels)
    except MlflowException as error:
        raise HTTPException(400, error.message) from None


def score_images(loaded: LoadedModel, files: Sequence[bytes]) -> list[Answer]:
    """Return the model's answers to PNG and JPEG files, each with the 28×28 pixels that the network was given."""
    pixels = []
    for number, file in enumerate(files, 1):
        try:
            pixels.append(images.to_mnist(images.decode(file)))
        except images.ImageError as error:
            raise HTTPException(400, f"file {number}: {error}" if len(files) > 1 else str(error)) from None
    predictions = score_pixels(loaded, np.stack(pixels))
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
