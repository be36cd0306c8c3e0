"""The routes of the app: a page, images to predictions and operations, beside MLflow's scoring routes, on one model."""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mlflow.pyfunc import scoring_server
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from serving.app.metrics import Metrics
from serving.app.scoring import Answer, pixels_of, score_images, score_json, score_pixels
from serving.app.workers import Workers
from serving.loading import LoadedModel
from serving.model_source import ModelSource

PAGE = Path(__file__).parent / "page"
IMAGE_TYPES = ("image/png", "image/jpeg")
MAX_INLINE_IMAGES = 8  # that are scored sooner than a thread would take them over


class Routes:
    """What each route does; the model is taken once per request, so that all of its images get the same one."""

    def __init__(self, source: ModelSource, workers: Workers, metrics: Metrics, max_files: int):
        self.source, self.workers, self.metrics, self.max_files = source, workers, metrics, max_files

    def table(self) -> list[BaseRoute]:
        """Return the routes, for Starlette; MLflow's own application answers those of its routes that need no check."""
        mlflow_app = scoring_server.init(self.source.loaded.pyfunc)
        return [
            Route("/predict", self.predict, methods=["POST"]),
            Route("/invocations", self.invocations, methods=["POST"]),
            *(Route(path, mlflow_app, methods=["GET"]) for path in ("/ping", "/health", "/version")),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.report_metrics),
            Route("/", self.page),
            Mount("/page", StaticFiles(directory=PAGE, check_dir=False)),
        ]

    async def predict(self, request: Request) -> Response:
        """Answer images: raw bytes, one PNG or JPEG, or several of them in a multipart body."""
        kind, body = media_type(request), await request.body()
        loaded = self.source.loaded
        if kind == "application/octet-stream":
            pixels = pixels_of(body)
            if len(pixels) <= MAX_INLINE_IMAGES:
                return self.respond(loaded, score_pixels(loaded, pixels))
            return self.respond(loaded, await self.workers.run(score_pixels, loaded, pixels))
        if kind in IMAGE_TYPES:
            return self.respond(loaded, await self.workers.run(score_images, loaded, [body]))
        if kind == "multipart/form-data":
            names, files = await self.read_files(request)
            answers = await self.workers.run(score_images, loaded, files)
            return self.respond(loaded, [{"file": name, **answer} for name, answer in zip(names, answers, strict=True)])
        raise HTTPException(415, f"expected {', '.join(IMAGE_TYPES)}, multipart/form-data or application/octet-stream")

    async def read_files(self, request: Request) -> tuple[list[str], list[bytes]]:
        """Return names and contents of the files in a multipart body; 400 (HTTPException) if there are none."""
        try:
            async with request.form(max_files=self.max_files, max_fields=self.max_files) as form:
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

    def respond(self, loaded: LoadedModel, answers: Sequence[Answer]) -> Response:
        """Return the answers with the model that gave them, and count them."""
        self.metrics.images.inc(len(answers))
        body = json.dumps({"predictions": answers, "model": loaded.label})
        return Response(body, media_type="application/json")

    async def invocations(self, request: Request) -> Response:
        """Answer as MLflow's own scoring does, after a check that leaves it nothing to misread."""
        _, _, parameters = request.headers.get("content-type", "").partition(";")
        encoding = parameters.replace('"', "").strip().lower()
        if media_type(request) != "application/json" or encoding not in ("", "charset=utf-8"):
            raise HTTPException(415, "expected application/json, in UTF-8")
        answer, count = await self.workers.run(score_json, self.source.loaded, await request.body())
        self.metrics.images.inc(count)
        return Response(answer.response, answer.status, media_type=answer.mimetype)

    async def page(self, _: Request) -> Response:
        """Return the page to draw on."""
        return FileResponse(PAGE / "index.html")

    async def healthz(self, _: Request) -> Response:
        """Answer that the process is alive."""
        return JSONResponse({"status": "alive"})

    async def readyz(self, _: Request) -> Response:
        """Answer which model is ready: its golden images have just gone through it. 503 if it answers them wrongly."""
        loaded, problem = self.source.loaded, self.source.problem
        try:
            await asyncio.to_thread(loaded.model.check)
        except Exception as error:
            return JSONResponse({"status": "failing", "model": loaded.facts, "problem": str(error)}, 503)
        return JSONResponse({"status": "ready", "model": loaded.facts, "problem": problem})

    async def report_metrics(self, _: Request) -> Response:
        """Return the metrics in Prometheus' text format."""
        return Response(self.metrics.render(self.source.loaded.label), media_type="text/plain; version=0.0.4")


def media_type(request: Request) -> str:
    """Return the request's Content-Type without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def error_response(_: Request, error: HTTPException) -> Response:
    """Return an error as JSON, instead of Starlette's plain text."""
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def fault_response(_: Request, error: Exception) -> Response:
    """Return a 500 that shows nothing of the fault."""
    return JSONResponse({"error": "the server failed on this request; its log says why"}, 500)


EXCEPTION_HANDLERS: dict[Any, Callable[[Request, Any], Response]] = {
    HTTPException: error_response,
    Exception: fault_response,
}
