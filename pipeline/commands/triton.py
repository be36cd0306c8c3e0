"""Write a registered model as a model repository of NVIDIA Triton Inference Server, which runs its bare ONNX file.

`python -m pipeline.commands.triton FOLDER [models:/mnist@champion]`. Triton has none of the app's checks.
"""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.cli import UserError, run
from pipeline.commands.champion import read_registered_name
from pipeline.commands.lineage import find_version
from pipeline.files import publish, read_json, sha256_of
from pipeline.inference import open_onnx
from pipeline.paths import Workspace
from pipeline.tracking.registry import CHAMPION
from pipeline.tracking.store import open_existing, translate_errors
from serving import verification
from serving.loading import ModelLoadError, copy_version, expected_of, require_none

MAX_BATCH_IMAGES = 1000
QUEUE_DELAY_US = 500  # the longest time that an image waits for others, to be computed together
CONFIG = """\
# {model}, by `python -m pipeline.commands.triton`, which writes this file again for another version.
name: {name}
backend: "onnxruntime"
max_batch_size: {max_batch_size}
input [{{ name: {input} data_type: TYPE_FP32 dims: {input_dims} }}]
output [{{ name: {output} data_type: TYPE_FP32 dims: {output_dims} label_filename: "labels.txt" }}]
# The exported version alone, and not the one with the largest number: after a rollback that is another.
version_policy: {{ specific: {{ versions: [{version}] }} }}
dynamic_batching {{ max_queue_delay_microseconds: {delay} }}
instance_group [{{ kind: KIND_CPU count: 1 }}]
# One image gains nothing from a second thread.
parameters [{{ key: "intra_op_thread_count" value: {{ string_value: "1" }} }}]
"""


def main(folder: str, model: str | None = None) -> None:
    """Write a version, by default the champion, into a model repository; raise UserError unless it is as registered."""
    model = model or f"models:/{read_registered_name(Workspace())}@{CHAMPION}"
    client = open_existing()
    with translate_errors(), TemporaryDirectory() as scratch:
        version = find_version(client, model)
        what = f"version {version.version}"
        try:
            copy = copy_version(version, Path(scratch))
            require_none(what, verification.find_faults(copy, expected_of(what, version.tags)))
        except ModelLoadError as error:
            raise UserError(f"{error}: `make lineage` names what differs") from None
        written = write_version(copy, Path(folder), version.name, int(version.version), model)
    print(f"{written} is written; to serve it: tritonserver --model-repository={folder} --model-control-mode=poll")


def write_version(copy: Path, repository: Path, name: str, number: int, model: str) -> Path:
    """Write one version of a model from the copy of its registered files, and make it the one that is served.

    Write the network first, then the files that name it: a Triton that polls never finds a name without its network.
    """
    network, golden = copy / verification.NETWORK, read_json(copy / verification.GOLDEN)
    place = repository / name
    target = place / str(number) / "model.onnx"
    if not target.exists() or sha256_of(target) != sha256_of(network):
        with publish(target.parent) as part:
            (part / target.name).write_bytes(network.read_bytes())
    replace(place / "labels.txt", "".join(f"{label}\n" for label in golden["class_names"]))
    replace(place / "config.pbtxt", CONFIG.format(**describe(network), name=quote(name), version=number, model=model))
    return target


def describe(network: Path) -> dict[str, Any]:
    """Return the configuration's values for a network: names, and shapes without the number of images."""
    session = open_onnx(network)
    (given,), (answered,) = session.get_inputs(), session.get_outputs()
    return {
        "max_batch_size": MAX_BATCH_IMAGES,
        "input": quote(given.name),
        "input_dims": given.shape[1:],
        "output": quote(answered.name),
        "output_dims": answered.shape[1:],
        "delay": QUEUE_DELAY_US,
    }


def quote(text: str) -> str:
    """Return a text quoted for protobuf's text format, which allows strings as in JSON."""
    return json.dumps(text)


def replace(path: Path, text: str) -> None:
    """Replace a file atomically: at each moment it has its whole old or its whole new content."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    os.replace(part, path)


if __name__ == "__main__":
    run(main, "folder", "[model]")
