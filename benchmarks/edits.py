"""Edit parameters or code at random moments of a training, and check under which name its model is published.

`python -m benchmarks.edits [moments] [seed]`: wherever DVC has recorded a training, in dvc.lock or in its run cache,
the receipt among the recorded files must name the same parameters and code. Prints a line per moment. 20 moments
take a quarter of an hour on two idle cores.
"""

import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.helpers.project import Project, copy_project, shrink

MODEL = "dense_10"
STAGE = f"train@{MODEL}"
NETWORKS = "pipeline/training/networks.py"
EPOCHS = 40  # some seconds of training beside those of TensorFlow's import and of the export
MARGIN_S = 0.3  # between a stage's last check of its inputs and the moment when its folder gets its name
KINDS = ("parameters", "code", "undone")


def main() -> None:
    """Train once, undisturbed; then edit and check."""
    moments, seed = (int(argument) for argument in [*sys.argv[1:], *("20", "0")[len(sys.argv) - 1 :]])
    draw = random.Random(seed)
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        project = copy_project(Path(folder), shrink)
        project.edit(lambda content: content["models"][MODEL].update(epochs=EPOCHS))
        project.repro(STAGE)
        started = time.monotonic()
        project.run("dvc", "repro", "--force", "--single-item", STAGE)
        duration_s = time.monotonic() - started
        for number in range(moments):
            after_s, kind = draw.uniform(0, duration_s), KINDS[number % len(KINDS)]
            done, edited = edit_while_training(project, kind, after_s, number)
            is_published = not done.returncode
            wrong = list(find_wrong_names(project))
            if wrong and "was trained with other" in project.run("dvc", "repro", check=False).stderr:
                wrong = []  # edited between the last checks of the stage and of DVC: `register` refuses it
            published = (project.folder / "models" / MODEL).stat().st_ctime if is_published else 0.0
            if kind != "undone" and edited + MARGIN_S < published and not started_after(project, edited):
                wrong.append(f"published {published - edited:.1f} s after the edit")
            outcomes.append(bool(wrong))
            reason = re.search(r"^error: (.*?changed while.*?|.*doesn't describe.*?)[:,.]", done.stderr, re.MULTILINE)
            outcome = "published" if is_published else f"refused: {reason[1] if reason else done.stderr[-500:]}"
            print(f"{number + 1:>3}  {kind:<10} {after_s:5.1f} s  {outcome}", *wrong, flush=True)
            project.run("dvc", "repro", STAGE)  # what a person does next
    print(f"{outcomes.count(False)} of {moments} published under the right name or not at all, seed {seed}")
    sys.exit(any(outcomes))


def edit_while_training(
    project: Project, kind: str, after_s: float, number: int
) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run the training, and edit its inputs after `after_s`; return how it ended, and the time of the edit."""
    command = ("dvc", "repro", "--force", "--single-item", STAGE)
    process = subprocess.Popen(
        command, cwd=project.folder, env=project.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(after_s)

    def set_epochs(epochs: int) -> None:
        project.edit(lambda content: content["models"][MODEL].update(epochs=epochs))

    if kind == "code":
        path = project.folder / NETWORKS
        path.write_text(f"{path.read_text()}\nEDITED_{number} = True\n")
    else:
        before = project.parameters()["models"][MODEL]["epochs"]
        set_epochs(EPOCHS + number + 1)
        if kind == "undone":
            time.sleep(0.5)
            set_epochs(before)
    edited = time.time()
    output = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, *output), edited


def started_after(project: Project, moment: float) -> bool:
    """Return whether the published training read its parameters after a moment."""
    receipt = json.loads((project.folder / "models" / MODEL / "receipt.json").read_text())
    return datetime.fromisoformat(receipt["started"]).timestamp() > moment


def find_wrong_names(project: Project) -> Iterator[str]:
    """Yield each record of DVC whose parameters or code aren't those of the model that it names."""
    cache = project.folder / ".dvc/cache"
    yaml = YAML(typ="safe")
    records = {"dvc.lock": yaml.load(project.folder / "dvc.lock")["stages"].get(STAGE)}
    records |= {path.name[:8]: yaml.load(path) for path in (cache / "runs").rglob("*") if path.is_file()}
    for name, record in records.items():
        if record and record["cmd"] == f"python -m pipeline.train {MODEL}":
            receipt = read_receipt(cache, record["outs"][0]["md5"])
            epochs = record["params"]["params.yaml"][f"models.{MODEL}"]["epochs"]
            if epochs != receipt["parameters"]["epochs"]:
                yield f"{name}: {receipt['parameters']['epochs']} epochs under the name of {epochs}"
            described = next(dep["md5"] for dep in record["deps"] if dep["path"] == "code/train.txt")
            if CODE_BY_DESCRIPTION.setdefault(described, receipt["code_sha256"]) != receipt["code_sha256"]:
                yield f"{name}: two versions of the code under one name"
    folder = project.folder / "models" / MODEL / "receipt.json"
    if folder.exists() and (lock := records["dvc.lock"]):
        published = json.loads(folder.read_text())
        if published != read_receipt(cache, lock["outs"][0]["md5"]):
            yield "models/ and dvc.lock differ"
        if published["epochs"][-1]["epoch"] != published["parameters"]["epochs"]:
            yield "the receipt's epochs aren't its parameters'"


CODE_BY_DESCRIPTION: dict[str, Any] = {}
"""By hash of code/train.txt, the code in the first receipt under it; each edit of code here changes both."""


def read_receipt(cache: Path, md5: str) -> dict[str, Any]:
    """Return the receipt of a folder in DVC's cache."""
    listed = json.loads((cache / "files/md5" / md5[:2] / md5[2:]).read_text())
    receipt = next(entry["md5"] for entry in listed if entry["relpath"] == "receipt.json")
    content: dict[str, Any] = json.loads((cache / "files/md5" / receipt[:2] / receipt[2:]).read_text())
    return content


if __name__ == "__main__":
    main()
