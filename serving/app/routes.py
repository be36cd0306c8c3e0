"""The app's routes on one model: pages, predictions for images, MLflow's scoring routes, and routes for operations."""

import asyncio
import json
import weakref
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from serving.app import multipart
from serving.app.limits import Limits
from serving.app.metrics import Metrics
from serving.app.samples import Sampler
from serving.app.scoring import Answer, open_files, pixels_of, prepare_next, score_json, score_pixels, with_pixels
from serving.app.workers import Workers
from serving.images import WEB_FORMATS, Form, count_pixels
from serving.loaded_model import LoadedModel
from serving.model_source import ModelSource

UNKNOWN_PATH = "no such route: the page is at /, images go to POST /predict, and docs/serving.md lists all routes"
PAGE = Path(__file__).parent / "page"
IMAGE_TYPES = tuple(f"image/{name.lower()}" for name in WEB_FORMATS)
LARGE_PIXELS = 10_000_000
CHECK_EVERY_S = 1.0
MAX_INLINE_VALUES = 6_400  # 8 images of MNIST: scoring these takes less time than handing them to a thread


class Routes:
    """The functions of the routes; each takes the model once per request, so that all its images get the same one.

    Image files have threads of their own, so that costly ones block no other route. Of those with more than
    LARGE_PIXELS, only one is decoded at a time, because they take the most memory.
    """

    def __init__(self, source: ModelSource, metrics: Metrics, limits: Limits, sampler: Sampler | None = None):
        self.source, self.metrics, self.max_files, self.sampler = source, metrics, limits.files, sampler
        self.images, self.arrays = (Workers(limits.threads, limits.queue) for _ in range(2))
        self.large_image = asyncio.Semaphore(1)
        self.checked: tuple[Callable[[], LoadedModel | None], float, str | None] = (lambda: None, 0.0, None)
        self.checking = asyncio.Lock()

    def table(self) -> list[BaseRoute]:
        """Return the routes, for Starlette."""
        return [
            Route("/predict", self.predict, methods=["POST"]),
            Route("/invocations", self.invocations, methods=["POST"]),
            *(Route(path, self.ping) for path in ("/ping", "/health")),
            Route("/version", self.version),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.report_metrics),
            Route("/", self.page),
            Route("/learn", self.learn),
            Mount("/page", StaticFiles(directory=PAGE, check_dir=False)),
        ]

    async def predict(self, request: Request) -> Response:
        """Answer images: raw bytes, one PNG, JPEG or WebP, or several of them in a multipart body."""
        kind, body = media_type(request), await request.body()
        loaded = self.source.loaded
        if kind == "application/octet-stream":
            return self.respond(loaded, await self.score(request, loaded, pixels_of(body, loaded.form)))
        if kind in IMAGE_TYPES:
            _, pixels = await self.prepare(request, loaded.form, lambda: ([""], [body]))
            return self.respond(loaded, with_pixels(await self.score(request, loaded, np.stack(pixels)), pixels))
        if kind == "multipart/form-data":
            most = min(self.max_files, loaded.model.max_images)
            names, pixels = await self.prepare(request, loaded.form, partial(read_files, request, body, most))
            answers = with_pixels(await self.score(request, loaded, np.stack(pixels)), pixels)
            return self.respond(loaded, [{"file": name, **answer} for name, answer in zip(names, answers, strict=True)])
        raise HTTPException(415, f"expected {', '.join(IMAGE_TYPES)}, multipart/form-data or application/octet-stream")

    async def prepare(
        self, request: Request, form: Form, read: Callable[[], tuple[list[str], list[bytes]]]
    ) -> tuple[list[str], list[np.ndarray]]:
        """Return the names and pixels of files, prepared one by one, so that other requests get turns in between."""
        async with self.images.place(request.receive) as place:
            names, files = await place.run(read)
            opened, pixels = await place.run(open_files, files), []
            for number in range(1, len(files) + 1):
                is_large = count_pixels(opened[0]) > LARGE_PIXELS
                async with self.large_image if is_large else nullcontext():
                    pixels.append(await place.run(prepare_next, opened, form, number, len(files)))
        return names, pixels

    async def score(self, request: Request, loaded: LoadedModel, pixels: np.ndarray) -> Sequence[Answer]:
        """Return the model's answers to uint8 [n, *form.shape]."""
        if pixels.size <= MAX_INLINE_VALUES:
            answers = score_pixels(loaded, pixels)
        else:
            async with self.arrays.place(request.receive) as place:
                answers = await place.run(score_pixels, loaded, pixels)
        self.observe(loaded, pixels, answers)
        return answers

    def observe(self, loaded: LoadedModel, pixels: np.ndarray, answers: Sequence[Answer]) -> None:
        """Count the images, and the answers unless a newer model has begun its own counts; give all to the sampler."""
        self.metrics.images.inc(len(answers))
        if loaded is self.source.loaded:
            self.metrics.answers.observe(loaded, pixels, answers)
        if self.sampler is not None:
            self.sampler.take(pixels, answers)

    def respond(self, loaded: LoadedModel, answers: Sequence[Answer]) -> Response:
        """Return the answers with the model that gave them."""
        body = json.dumps({"predictions": answers, "model": loaded.label})
        return Response(body, media_type="application/json")

    async def invocations(self, request: Request) -> Response:
        """Answer as MLflow's own server does, after a strict check of the body, because MLflow could misread it."""
        _, _, parameters = request.headers.get("content-type", "").partition(";")
        encoding = parameters.replace('"', "").strip().lower()
        if media_type(request) != "application/json" or encoding not in ("", "charset=utf-8"):
            raise HTTPException(415, "expected application/json, in UTF-8")
        async with self.arrays.place(request.receive) as place:
            loaded = self.source.loaded
            answer, pixels, answers = await place.run(score_json, loaded, await request.body())
        self.observe(loaded, pixels, answers)
        return Response(answer.response, answer.status, media_type=answer.mimetype)

    async def page(self, _: Request) -> Response:
        """Return the page to draw on."""
        return FileResponse(PAGE / "index.html")

    async def learn(self, _: Request) -> Response:
        """Return the page with playgrounds: a neuron, softmax, gradient descent, a loss surface."""
        return FileResponse(PAGE / "learn.html")

    async def ping(self, _: Request) -> Response:
        """Answer as MLflow's own server does while it has a model."""
        return Response("\n", media_type="application/json")

    async def version(self, _: Request) -> Response:
        """Answer with MLflow's version, as its own server does."""
        return Response(mlflow.__version__, media_type="application/json")

    async def healthz(self, _: Request) -> Response:
        """Answer that the process is alive."""
        return JSONResponse({"status": "alive"})

    async def readyz(self, _: Request) -> Response:
        """Answer with the model that is ready, checked by its golden images; 503 if it answers them wrongly.

        The check runs at most once per CHECK_EVERY_S, however often this route is called.
        """
        loaded, problem, now = self.source.loaded, self.source.problem, asyncio.get_running_loop().time
        async with self.checking:
            if self.checked[0]() is not loaded or now() - self.checked[1] > CHECK_EVERY_S:
                fault = await asyncio.to_thread(explain_fault, loaded)
                self.checked = weakref.ref(loaded), now(), fault  # weak: a replaced model isn't kept
            fault = self.checked[2]
        if fault is not None:
            return JSONResponse({"status": "failing", "model": loaded.facts, "problem": fault}, 503)
        return JSONResponse({"status": "ready", "model": loaded.facts, "problem": problem})

    async def report_metrics(self, _: Request) -> Response:
        """Return the metrics in Prometheus' text format."""
        return Response(self.metrics.render(self.source.loaded.label), media_type="text/plain; version=0.0.4")


def read_files(request: Request, body: bytes, max_files: int) -> tuple[list[str], list[bytes]]:
    """Return names and contents of the files in a multipart body; 400 (HTTPException) if they can't be read."""
    try:
        files = multipart.read_files(request.headers["content-type"], body, max_files)
    except multipart.MultipartError as error:
        raise HTTPException(400, str(error)) from None
    return [name for name, _ in files], [content for _, content in files]


def explain_fault(loaded: LoadedModel) -> str | None:
    """Return what is wrong with the model's answers to its golden images; None if nothing is."""
    try:
        loaded.model.check()
    except Exception as error:
        return str(error)
    return None


def media_type(request: Request) -> str:
    """Return the request's Content-Type without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def error_response(_: Request, error: HTTPException) -> Response:
    """Return an error as JSON, instead of Starlette's plain text; say what is expected where Starlette doesn't."""
    sentence, allowed = error.detail, (error.headers or {}).get("Allow")
    if sentence == HTTPStatus.NOT_FOUND.phrase:
        sentence = UNKNOWN_PATH
    elif sentence == HTTPStatus.METHOD_NOT_ALLOWED.phrase and allowed:
        sentence = f"this route takes {allowed}"
    return JSONResponse({"error": sentence}, error.status_code, error.headers)


def fault_response(_: Request, error: Exception) -> Response:
    """Return a 500 that reveals nothing about the fault."""
    return JSONResponse({"error": "the server failed on this request; its log says why"}, 500)


EXCEPTION_HANDLERS: dict[Any, Callable[[Request, Any], Response]] = {
    HTTPException: error_response,
    Exception: fault_response,
}
