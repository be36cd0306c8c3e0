"""The servers that benchmarks.serving compares: one network, saved in MLflow's flavors and in ours."""

import http.client
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

# What the tables call each server.
NOTHING, OURS = "does nothing", "ours"
GRAPH, DEFAULT = "mlflow.onnx, our graph", "mlflow.tensorflow, the default"
STARTUP_TIMEOUT_S = 180.0  # long, because TensorFlow starts slowly on a busy machine
ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "TF_CPP_MIN_LOG_LEVEL": "3"}


class Server:
    """A server process on a free port of the loopback; `seconds_to_ready` is the time until its first good answer."""

    def __init__(self, command: list[str], ready: str, log: Path):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        start = time.perf_counter()
        with log.open("w") as file:
            command = [*command, "--port", str(self.port)]
            self.process = subprocess.Popen(command, env=os.environ | ENVIRONMENT, stdout=file, stderr=file)
        while not self._is_ready(ready):
            if self.process.poll() is not None or time.perf_counter() > start + STARTUP_TIMEOUT_S:
                self.stop()
                raise RuntimeError(f"{' '.join(command)} doesn't start:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)
        self.seconds_to_ready = time.perf_counter() - start

    def connect(self) -> http.client.HTTPConnection:
        """Return an open connection that sends each request at once."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.connect()
        assert connection.sock is not None
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    @staticmethod
    def post(connection: http.client.HTTPConnection, path: str, body: bytes, kind: str) -> bytes:
        """Return the answer's body; RuntimeError unless its status is 200."""
        connection.request("POST", path, body, {"Content-Type": kind})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} answers {answer.status}: {content[:300]!r}")
        return content

    def memory_bytes(self) -> int:
        """Return the resident memory of the process that answers: it is the largest of the server's processes."""
        root = psutil.Process(self.process.pid)
        return max(process.memory_info().rss for process in [root, *root.children(recursive=True)])

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def _is_ready(self, path: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


def start_mlflow(model: Path, log: Path) -> Server:
    """Start `mlflow models serve` as its users do."""
    mlflow = str(Path(sys.executable).parent / "mlflow")
    return Server([mlflow, "models", "serve", "-m", str(model), "--env-manager", "local"], "/ping", log)


def start_app(model: str, log: Path) -> Server:
    """Start the project's own server."""
    return Server([sys.executable, "-m", "serving.app", model], "/readyz", log)


def save_flavors(name: str, registered: str, folder: Path) -> dict[str, Path]:
    """Save the model in each flavor; return the folders by their names in the table.

    `name` is the preset, whose files are in models/<name>; `registered` is the URI of its registered version.
    """
    import mlflow

    saved = {
        NOTHING: folder / "nothing",
        OURS: folder / "ours",
        GRAPH: folder / "graph",
        "mlflow.onnx": folder / "onnx",
        "mlflow.keras, exported": folder / "exported",
        DEFAULT: folder / "default",
    }
    mlflow.pyfunc.save_model(saved[NOTHING], python_model=str(Path(__file__).parent / "does_nothing.py"))
    mlflow.artifacts.download_artifacts(registered, dst_path=str(saved[OURS]))
    # In a process of its own, so that the process that measures doesn't import TensorFlow.
    command = (sys.executable, "-m", "benchmarks.servers", name, str(folder))
    subprocess.run(
        command, env=os.environ | ENVIRONMENT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return saved


def save_stock(name: str, folder: str) -> None:
    """Save the workspace's network in MLflow's own flavors, for images [28, 28, 1], as introductions do.

    `graph` is the exception, and the strongest rival: our exported file, for images [28, 28], in MLflow's ONNX flavor.
    """
    import keras
    import mlflow
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    def described(*image: int) -> dict[str, Any]:
        """Return the options with which each flavor is saved."""
        pixels, answer = (TensorSpec(np.dtype(np.float32), (-1, *shape)) for shape in (image, (10,)))
        return {"signature": ModelSignature(Schema([pixels]), Schema([answer])), "pip_requirements": []}

    ours = keras.saving.load_model(f"models/{name}/model.keras")
    usual = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Reshape((28, 28)), ours])
    usual.predict(np.zeros((1, 28, 28, 1), np.float32), verbose=0)  # Keras exports only a model that has been called
    usual.export(f"{folder}/usual.onnx", format="onnx", verbose=False)
    mlflow.tensorflow.save_model(usual, f"{folder}/default", **described(28, 28, 1))
    mlflow.keras.save_model(usual, f"{folder}/exported", save_exported_model=True, **described(28, 28, 1))
    mlflow.onnx.save_model(onnx.load(f"{folder}/usual.onnx"), f"{folder}/onnx", **described(28, 28, 1))
    mlflow.onnx.save_model(onnx.load(f"models/{name}/model.onnx"), f"{folder}/graph", **described(28, 28))


if __name__ == "__main__":
    save_stock(*sys.argv[1:])
