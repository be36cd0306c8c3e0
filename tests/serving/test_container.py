"""What the Dockerfile builds, as far as tests can check without a container engine: the lock, commands and files."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from tests.helpers.project import SOURCE
from tests.helpers.server import CHAMPION, launched

UNREACHABLE = ("error sending request", "dns error", "Failed to fetch", "tcp connect error")


def locked(lock: str) -> set[str]:
    """The lock's requirements, each with version and marker."""
    return set(re.findall(r"^(\S+==[^\\\n]+?) \\$", (SOURCE / lock).read_text(), re.MULTILINE))


def instruction(name: str) -> list[str]:
    """The words of an instruction in JSON form, such as ENTRYPOINT ["a", "b"]."""
    (words,) = re.findall(rf"^\s*{name} (\[.*\])$", (SOURCE / "Dockerfile").read_text(), re.MULTILINE)
    return json.loads(words)


def test_the_serving_lock_is_a_part_of_the_whole_one_and_without_what_trains():
    serving = locked("requirements-serving.lock")
    names = {requirement.partition("==")[0] for requirement in serving}
    assert {"mlflow-skinny", "onnxruntime", "uvicorn", "pillow"} <= names
    assert not names & {"tensorflow", "keras", "onnx", "tf2onnx", "scikit-learn", "dvc", "ai-edge-litert"}
    versions = {requirement.partition(" ")[0] for requirement in locked("requirements.lock")}
    assert {requirement.partition(" ")[0] for requirement in serving} <= versions


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    """The container's file system: only the lock's packages, and the files that .dockerignore lets in."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
    if uv is None:
        pytest.skip("no uv beside the interpreter: make sets it up")
    image = tmp_path_factory.mktemp("image")
    subprocess.run((uv, "venv", "--quiet", "--python", sys.executable, image / "venv"), check=True)
    install = (uv, "pip", "install", "--quiet", "--require-hashes", "--python", image / "venv")
    done = subprocess.run((*install, "-r", SOURCE / "requirements-serving.lock"), capture_output=True, text=True)
    if done.returncode and any(sign in done.stderr for sign in UNREACHABLE):
        pytest.skip(f"the package registry can't be reached: {done.stderr.splitlines()[0][:200]}")
    assert done.returncode == 0, done.stderr
    shutil.copytree(SOURCE / "serving", image / "app" / "serving", ignore=shutil.ignore_patterns("__pycache__"))
    return image


def test_the_app_runs_from_the_serving_lock_alone(image, project):
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/mlflow.db")
    model = mlflow.artifacts.download_artifacts(CHAMPION, dst_path=str(image))
    environment = {"PATH": f"{image / 'venv' / 'bin'}:/usr/bin:/bin", "MODEL": model, "HOME": "/nonexistent"}
    command = [*instruction("ENTRYPOINT"), "--allow-host", "digits.example"]
    with launched(command, image / "app", environment) as app:
        assert app.get("/readyz").json["status"] == "ready"
        assert app.get("/", Host="digits.example").status == 200
        assert len(app.predict(bytes(784)).json["predictions"]) == 1
        assert app.invoke({"dataframe_records": [{"pixels": [0] * 784}]}).status == 200
        probe = [word.replace(":8000", f":{app.port}") for word in instruction("CMD")]
        assert subprocess.run(probe, env=environment, capture_output=True).returncode == 0
        app.process.terminate()
        app.process.wait(40)
        assert subprocess.run(probe, env=environment, capture_output=True).returncode != 0


def test_the_dockerfile_copies_what_is_there_and_nothing_else_gets_in():
    text = (SOURCE / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (\S+) ", text, re.MULTILINE)
    assert all((SOURCE / name).exists() for name in copied)
    allowed = re.findall(r"^!(\S+)$", (SOURCE / ".dockerignore").read_text(), re.MULTILINE)
    assert sorted(allowed) == sorted(copied)
    assert int(re.search(r"^USER (\d+)", text, re.MULTILINE)[1]) > 0
