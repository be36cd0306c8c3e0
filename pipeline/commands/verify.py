"""Train the presets again, elsewhere, and compare the files with those that dvc.lock records (`make verify`)."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from hashlib import md5
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.cli import UserError, first_line, run
from pipeline.code import format_description
from pipeline.config import params
from pipeline.config.flatten import flatten
from pipeline.data.dvc_cache import RECORD
from pipeline.files import read_json
from pipeline.paths import CODE, Workspace

# `evaluate` depends on each of these files, so dvc.lock has their md5; a receipt has times, so it always differs.
FILES = ("model.onnx", "model.tflite", "model_int8.tflite", "history.csv")
Entry = Mapping[str, Any]  # of one stage in dvc.lock


def main(model: str = "", workspace: Workspace = Workspace()) -> None:
    """Verify `model`, or each preset; raise UserError if a file differs from the record, or if there is no record."""
    names = [model] if model else params.load(workspace.params).presets
    stages = read_record(workspace)
    for name in names:
        if not {f"train@{name}", f"evaluate@{name}"} <= stages.keys():
            trained = [stage.removeprefix("evaluate@") for stage in stages if stage.startswith("evaluate@")]
            raise UserError(
                f"{RECORD} has no trained and evaluated {name}: add {name} to presets and run `dvc repro`; "
                f"{RECORD} has {', '.join(trained) or 'none'}"
            )
    differing = [name for name in names if not verify(name, stages, workspace)]
    if differing:
        raise UserError(f"not as {RECORD} records: {', '.join(differing)}")


def read_record(workspace: Workspace) -> dict[str, Entry]:
    """Return the stages of dvc.lock, by name; raise UserError if it is missing or damaged."""
    try:
        record = YAML(typ="safe").load(workspace.root / RECORD)
    except FileNotFoundError:
        raise UserError(f"{RECORD} is missing: run `dvc repro`, which writes it") from None
    except YAMLError as error:
        raise damaged_record_error(first_line(error)) from None
    if not isinstance(record, dict) or "stages" not in record:
        raise damaged_record_error("it has no stages")
    stages: dict[str, Entry] = record["stages"]
    return stages


def damaged_record_error(fault: str) -> UserError:
    """Return the error for a dvc.lock that isn't as DVC writes it, as after a merge with a conflict."""
    return UserError(f"{RECORD} is damaged ({fault}): resolve a merge's conflict in it, or `git checkout {RECORD}`")


def verify(name: str, stages: Mapping[str, Entry], workspace: Workspace) -> bool:
    """Train one model again, and print whether its files are as recorded, and if not, why; return whether they are."""
    recorded = {Path(path).name: digest for path, digest in sums(stages[f"evaluate@{name}"]).items()}
    with TemporaryDirectory(prefix="verify-") as scratch:
        folder = train_again(name, workspace, Path(scratch))
        found = {file: md5_of((folder / file).read_bytes()) for file in FILES}
    differing = [file for file in FILES if found[file] != recorded[file]]
    if not differing:
        print(f"{name:<16} same     {', '.join(FILES)}", flush=True)
        return True
    print(f"{name:<16} DIFFERS  {', '.join(differing)}", flush=True)
    for reason in find_reasons(name, stages[f"train@{name}"], recorded, workspace):
        print(f"{'':<16} because  {reason}", flush=True)
    return False


def train_again(name: str, workspace: Workspace, scratch: Path) -> Path:
    """Run the stage `train` in an empty workspace with the prepared data; return the folder that it publishes."""
    copy = Workspace(scratch)
    # Further seeds add nothing to the files that are compared.
    YAML().dump(params.read(workspace.params) | {"seeds_per_model": 1}, copy.params)
    copy.prepared.parent.mkdir()
    copy.prepared.symlink_to(workspace.prepared.resolve())
    # Use a separate store: a training for a comparison is no run of the project.
    own = {"PYTHONPATH": str(CODE.resolve()), "DVC_ROOT": str(scratch), "MLFLOW_TRACKING_URI": ""}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DVC_")} | own
    done = subprocess.run((sys.executable, "-m", "pipeline.train", name), cwd=scratch, env=environment)
    if done.returncode:
        raise UserError(f"{name} couldn't be trained again: see above")
    return copy.model(name)


def find_reasons(name: str, train: Entry, files: Mapping[str, str], workspace: Workspace) -> list[str]:
    """Return what else differs from the record: parameters, data, code, packages; or, if nothing does, the machine.

    `train` is the record of the training, `files` has the recorded md5 of each file.
    """
    content, before = params.read(workspace.params), dict(train["params"]["params.yaml"])
    before.pop("seeds_per_model", None)  # the files are of the first seed
    then, now = flatten(before), flatten({key: params.find(content, key) for key in before})
    changed = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
    reasons = [f"{key} differs in params.yaml" for key in changed]
    recorded = sums(train)
    if md5_of(workspace.dataset.read_bytes()) != recorded["data/prepared/dataset.json"]:
        reasons.append("the prepared data differ: run `dvc repro preprocess`")
    if md5_of(format_description("train", CODE).encode()) != recorded["code/train.txt"]:
        reasons.append("the code that trains, or a locked version of a package, has changed")
    own = {file: workspace.model(name) / file for file in FILES}
    if not reasons and any(path.exists() and md5_of(path.read_bytes()) != files[file] for file, path in own.items()):
        reasons.append(f"{RECORD} has the evaluation of an earlier training: run `dvc repro evaluate@{name}`")
    machine = read_machine(workspace.model(name)) or "a machine that is not known here (`dvc pull` brings its receipt)"
    return reasons or [
        f"nothing that {RECORD} records differs, so the processor or the system rounds differently: recorded on "
        f"{machine}, now {platform.platform()}"
    ]


def read_machine(folder: Path) -> str:
    """Return the system that a model's receipt names; "" without a receipt."""
    path = folder / "receipt.json"
    return str(read_json(path)["machine"]["system"]) if path.exists() else ""


def sums(stage: Entry) -> dict[str, str]:
    """Return the md5 of each dependency of a stage, by its path."""
    return {dependency["path"]: dependency["md5"] for dependency in stage["deps"]}


def md5_of(content: bytes) -> str:
    """Return the md5 of a file's content, as DVC records it."""
    return md5(content, usedforsecurity=False).hexdigest()


if __name__ == "__main__":
    run(main, "[model]")
