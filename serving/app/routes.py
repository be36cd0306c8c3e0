"""The routes of the app: a page, images to predictions and operations, beside MLflow's scoring routes, on one model."""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from serving import images
from serving.app import mlflow_json as forms
from serving.app.guard import Guard, Limits, Workers
from serving.app.metrics import Metrics
from serving.loading import Served
from serving.model_source import Champion

PAGE = Path(__file__).parent / "page"
IMAGE_TYPES = ("image/png", "image/jpeg")
INLINE = 8  # images that are scored sooner than a thread would take them over

log = logging.getLogger("uvicorn.error")


def build(champion: Champion, limits: Limits, hosts: set[str]) -> Guard:
    """The ASGI application."""
    routes = Routes(champion, limits)
    mlflow_app = scoring_server.init(champion.served.pyfunc)
    table = [
        Route("/predict", routes.predict, methods=["POST"]),
        Route("/invocations", routes.invocations, methods=["POST"]),
        *(Route(path, mlflow_app, methods=["GET"]) for path in ("/ping", "/health", "/version")),
        Route("/healthz", routes.healthz),
        Route("/readyz", routes.readyz),
        Route("/metrics", routes.metrics),
        Route("/", routes.page),
        Mount("/page", StaticFiles(directory=PAGE, check_dir=False)),
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        champion.follow()
        log.info("%s is version %s, %s", champion.uri, *map(champion.served.facts.get, ("version", "preset")))
        yield

    handlers = {HTTPException: told, Exception: failed}
    app = Starlette(routes=table, lifespan=lifespan, exception_handlers=handlers)
    return Guard(app, limits, hosts, routes.measures)


def told(_: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def failed(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": "the server failed on this request; its log says why"}, 500)


class Routes:
    """What each route does; the model is taken once a request, so that all of its images get the same."""

    def __init__(self, champion: Champion, limits: Limits):
        self.champion, self.limits = champion, limits
        self.workers, self.measures = Workers(limits), Metrics()

    async def predict(self, request: Request) -> Response:
        kind, body = media_type(request), await request.body()
        served = self.champion.served
        if kind == "application/octet-stream":
            if not body or len(body) % 784:
                raise HTTPException(400, f"expected 784 bytes an image, one a pixel; got {len(body):,} bytes")
            pixels = np.frombuffer(body, np.uint8).reshape(-1, 28, 28)
            if len(pixels) <= INLINE:
                return self.answer(served, score(served, pixels))
            return self.answer(served, await self.workers.run(score, served, pixels))
        if kind in IMAGE_TYPES:
            return self.answer(served, await self.workers.run(score_images, served, [body]))
        if kind == "multipart/form-data":
            names, files = await self.uploads(request)
            predictions = await self.workers.run(score_images, served, files)
            predictions = [{"file": name, **entry} for name, entry in zip(names, predictions, strict=True)]
            return self.answer(served, predictions)
        raise HTTPException(415, f"expected {', '.join(IMAGE_TYPES)}, multipart/form-data or application/octet-stream")

    async def uploads(self, request: Request) -> tuple[list[str], list[bytes]]:
        """Names and contents of the files in a multipart body."""
        try:
            async with request.form(max_files=self.limits.files, max_fields=self.limits.files) as form:
                files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
                names, contents = [file.filename or "" for file in files], [await file.read() for file in files]
        except HTTPException:
            raise
        except Exception:
            # What a parser of untrusted bytes may raise is beyond counting.
            raise HTTPException(400, "the body can't be read as multipart/form-data") from None
        if not files:
            raise HTTPException(400, "expected at least one file in the multipart/form-data")
        return names, contents

    def answer(self, served: Served, predictions: list[dict]) -> Response:
        self.measures.images.inc(len(predictions))
        body = json.dumps({"predictions": predictions, "model": served.label})
        return Response(body, media_type="application/json")

    async def invocations(self, request: Request) -> Response:
        """MLflow's own scoring, after a check that leaves it nothing to misread."""
        _, _, parameters = request.headers.get("content-type", "").partition(";")
        encoding = parameters.replace('"', "").strip().lower()
        if media_type(request) != "application/json" or encoding not in ("", "charset=utf-8"):
            raise HTTPException(415, "expected application/json, in UTF-8")
        answer, count = await self.workers.run(invoke, self.champion.served, await request.body())
        self.measures.images.inc(count)
        return Response(answer.response, answer.status, media_type=answer.mimetype)

    async def page(self, _: Request) -> Response:
        return FileResponse(PAGE / "index.html")

    async def healthz(self, _: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(self, _: Request) -> Response:
        """Ready means that the golden images have just gone through the model."""
        served, problem = self.champion.served, self.champion.problem
        try:
            await asyncio.to_thread(served.model.check)
        except Exception as error:
            return JSONResponse({"status": "failing", "model": served.facts, "problem": str(error)}, 503)
        return JSONResponse({"status": "ready", "model": served.facts, "problem": problem})

    async def metrics(self, _: Request) -> Response:
        return Response(self.measures.text(self.champion.served.label), media_type="text/plain; version=0.0.4")


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def score(served: Served, pixels: np.ndarray) -> list[dict]:
    """The model's answers to uint8 [n, 28, 28]."""
    try:
        return served.model.predict(None, pixels)
    except MlflowException as error:
        raise HTTPException(400, error.message) from None


def score_images(served: Served, files: list[bytes]) -> list[dict]:
    """The model's answers to encoded images, each with the 28×28 pixels that the network was given."""
    pixels = []
    for number, file in enumerate(files, 1):
        try:
            pixels.append(images.to_mnist(images.decode(file)))
        except images.ImageError as error:
            raise HTTPException(400, f"file {number}: {error}" if len(files) > 1 else str(error)) from None
    predictions = score(served, np.stack(pixels))
    shown = [base64.b64encode(image.tobytes()).decode() for image in pixels]
    return [{**entry, "pixels": image} for entry, image in zip(predictions, shown, strict=True)]


def invoke(served: Served, body: bytes) -> tuple[scoring_server.InvocationsResponse, int]:
    """What `mlflow models serve` answers to a JSON body, and the number of images in it."""
    try:
        content, count = forms.parse(body)
    except forms.FormError as error:
        raise HTTPException(400, str(error)) from None
    schema = served.pyfunc.metadata.get_input_schema()
    return scoring_server.invocations(content, scoring_server.CONTENT_TYPE_JSON, served.pyfunc, schema), count
