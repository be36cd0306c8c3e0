"""The app in a thread of the test's own process, on a model whose answers are known."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import uvicorn

from serving.app.asgi import build_app
from serving.app.limits import Limits
from serving.images import Form
from serving.model_source import ModelSource
from tests.helpers.models import save_model, write_artifacts


def load(folder: Path, form: Form, names: Sequence[str]) -> ModelSource:
    return ModelSource(str(save_model(folder / "saved", write_artifacts(folder, form, names), form)))


@contextmanager
def serving(source: ModelSource) -> Iterator[str]:
    """Serve a model in a thread of this process; yields the page's URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = build_app(source, Limits(threads=1), {"127.0.0.1"})
        server = uvicorn.Server(uvicorn.Config(app, ws="none", log_config=None))
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()
