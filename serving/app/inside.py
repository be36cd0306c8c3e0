"""The routes of the page /inside, which shows the output of each layer of a model.

Numbers are float32, little-endian, one after the other, in Keras' order of axes. The query parameter `version` selects
a version of the registered model other than the served one.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from serving.app.middleware.trusted_clients import check_origin
from serving.app.routes import IMAGE_TYPES, PAGE, Routes, media_type
from serving.app.scoring import pixels_of
from serving.app.versions import Versions
from serving.app.workers import Workers
from serving.loaded_model import LoadedModel
from serving.occlusion import measure_losses
from serving.units import Units

MAX_WEIGHTS = 200_000  # of a layer whose weights are sent together
RAW = "application/octet-stream"
Result = TypeVar("Result")


class Inside:
    """The functions of the routes. One thread serves all: no other route is blocked, and no model is opened twice."""

    def __init__(self, routes: Routes, queue: int):
        self.source, self.prepare = routes.source, routes.prepare
        self.workers, self.versions = Workers(1, queue), Versions(routes.source)

    def table(self) -> list[BaseRoute]:
        """Return the routes, for Starlette."""
        return [
            Route("/inside", self.page),
            Route("/inside/layers", self.layers),
            Route("/inside/weights", self.weights),
            Route("/inside/activations", self.activations, methods=["POST"]),
            Route("/inside/unit", self.unit, methods=["POST"]),
            Route("/inside/losses", self.losses, methods=["POST"]),
        ]

    async def page(self, _: Request) -> Response:
        """Return the page."""
        return FileResponse(PAGE / "inside.html")

    async def layers(self, request: Request) -> Response:
        """Answer with the layers, their shapes, and the versions that can be shown."""

        def describe(loaded: LoadedModel) -> dict[str, object]:
            return {"model": loaded.facts, "versions": self.versions.describe(), "layers": loaded.units.describe()}

        return JSONResponse(await self.call(request, self.source.loaded, describe))

    async def weights(self, request: Request) -> Response:
        """Answer with a layer's weights, then its biases; 400 if there are more than MAX_WEIGHTS."""

        def read(loaded: LoadedModel) -> bytes:
            weights, bias = loaded.units.weights(read_place(request, loaded))
            if weights.size > MAX_WEIGHTS:
                raise HTTPException(
                    400, f"this layer has {weights.size:,} weights, and {MAX_WEIGHTS:,} at most are sent together: "
                    "ask /inside/unit for those of one unit"
                )  # fmt: skip
            return as_bytes(weights, bias)

        return Response(await self.call(request, self.source.loaded, read), media_type=RAW)

    async def activations(self, request: Request) -> Response:
        """Answer with the pixels of an image, the output of each layer, and the model's probabilities."""

        def run(pixels: np.ndarray, loaded: LoadedModel) -> bytes:
            images = pixels[np.newaxis]
            return as_bytes(pixels, *loaded.units.network.activations(images), loaded.model.probabilities(images))

        return Response(await self.look_at(request, run), media_type=RAW)

    async def unit(self, request: Request) -> Response:
        """Answer with the numbers from which the output of one unit is computed."""

        def work_out(pixels: np.ndarray, loaded: LoadedModel) -> str:
            place = read_place(request, loaded)
            *shape, units = loaded.units.network.layers[place]["shape"]
            names = ("row", "column")[: len(shape)]
            at = [read_number(request, name, length) for name, length in zip(names, shape, strict=True)]
            found = loaded.units.work_out(place, pixels, read_number(request, "unit", units), *at)
            return json.dumps(found)  # in the thread, because a unit may have very many inputs

        return Response(await self.look_at(request, work_out), media_type="application/json")

    async def losses(self, request: Request) -> Response:
        """Answer with what each output's weighted sum loses if a part of the image is covered: [row, column, class].

        Probabilities would show little: if the model is certain of an image, no covered part lowers them much.
        """

        def measure(pixels: np.ndarray, loaded: LoadedModel) -> bytes:
            network = require_layers(loaded).network
            sums = network.layers[-1]["sum"]
            is_ink = loaded.form.resize == "ink"
            return as_bytes(
                measure_losses(
                    lambda images: network.compute(images, [sums])[0], pixels, is_ink, loaded.model.max_images
                )
            )

        return Response(await self.look_at(request, measure), media_type=RAW)

    async def look_at(self, request: Request, function: Callable[[np.ndarray, LoadedModel], Result]) -> Result:
        """Call a function with a request's image (raw bytes, or one PNG, JPEG or WebP) and the model."""
        kind, body = media_type(request), await request.body()
        served = self.source.loaded
        if kind in IMAGE_TYPES:
            form = await self.call(request, served, lambda loaded: loaded.form)
            _, (image,) = await self.prepare(request, form, lambda: ([""], [body]))
            return await self.call(request, served, partial(function, image))

        def look(loaded: LoadedModel) -> Result:
            if kind != RAW:
                raise HTTPException(415, f"expected {', '.join(IMAGE_TYPES)} or {RAW}")
            images = pixels_of(body, loaded.form)
            if len(images) != 1:
                raise HTTPException(400, f"expected one image; got the bytes of {len(images):,}")
            return function(images[0], loaded)

        return await self.call(request, served, look)

    async def call(self, request: Request, served: LoadedModel, function: Callable[[LoadedModel], Result]) -> Result:
        """Call a function in the thread, with `served` or the other version that the request asks for."""
        wanted = request.query_params.get("version")
        async with self.workers.place(request.receive) as place:
            if wanted in (None, served.facts["version"]):
                return await place.run(function, served)
            # A page of another origin must not cause the work of loading a model, not even by a GET.
            check_origin(request.headers, request.headers.get("host", "").lower())
            return await place.run(self.versions.use, wanted, function)


def read_place(request: Request, loaded: LoadedModel) -> int:
    """Return the index of the layer that a request names."""
    return read_number(request, "layer", len(require_layers(loaded).network.layers))


def require_layers(loaded: LoadedModel) -> Units:
    """Return the units of a model's layers; 404 (HTTPException) if its ONNX file doesn't name the layers."""
    if not loaded.units.network.layers:
        raise HTTPException(
            404,
            "this version was registered before model files named their layers: run make run, which registers it again",
        )
    return loaded.units


def read_number(request: Request, name: str, count: int) -> int:
    """Return a whole number below `count` from a request's query; 400 (HTTPException) if it has none."""
    try:
        number = int(request.query_params.get(name, ""))
    except ValueError:  # Python raises it for thousands of digits, too
        number = -1
    if not 0 <= number < count:
        raise HTTPException(400, f"expected {name}= with a whole number from 0 to {count - 1}")
    return number


def as_bytes(*arrays: np.ndarray) -> bytes:
    """Return the values of arrays as little-endian float32, one after the other."""
    return b"".join(np.ascontiguousarray(array, "<f4").tobytes() for array in arrays)
