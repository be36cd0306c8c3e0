"""Make MLflow's view anew (`make rebuild-tracking`): every run, version and alias that can be told from the disk.

Sources: the workspace, DVC's cache with its record of past runs, and the journal promotions.jsonl, which knows the
order of the versions and who became champion. What is there already stays as it is.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML

from pipeline.cli import UserError, run
from pipeline.config.params import load
from pipeline.tracking import promotion
from pipeline.tracking import store as tracking
from pipeline.tracking import trained_model as content
from pipeline.tracking.runs import upsert
from pipeline.tracking.trained_model import Content


def main() -> None:
    params = load()
    with tempfile.TemporaryDirectory() as folder, promotion.lock():
        contents = collect(params.presets, Path(folder))
        if not contents:
            raise UserError("neither the workspace nor DVC's cache has a trained and evaluated model: run `dvc repro`")
        for registered in sorted({item.dataset["name"] for item in contents.values()}):
            mine = {key: item for key, item in contents.items() if item.dataset["name"] == registered}
            rebuild(registered, mine)


def rebuild(registered: str, contents: dict[str, Content]) -> None:
    """Upsert one data set's runs and versions, in the journal's order, then set tags and aliases as it says."""
    client, experiment_id = tracking.connect(registered)
    events = [event for event in promotion.journal() if event["name"] == registered]
    decisions = {int(event["version"]): event for event in events if event["event"] == "decided"}
    missing = []
    for number, decision in sorted(decisions.items()):
        if item := contents.pop(decision["content_key"], None):
            version = upsert(client, experiment_id, registered, item)
            record = {key: value for key, value in decision.items() if key not in ("time", "event", "name", "model")}
            client.set_model_version_tag(registered, version.version, "promotion", json.dumps(record))
        else:
            missing.append(number)
            hold_number(client, registered, number)
    for item in sorted(contents.values(), key=lambda item: item.receipt["started"]):
        upsert(client, experiment_id, registered, item)
    for alias, number in aliases(events).items():
        if int(number) not in missing:
            client.set_registered_model_alias(registered, alias, number)
    versions = client.search_model_versions(f"name = '{registered}'")
    lost = f"; not on this disk any more: version {', '.join(map(str, missing))}" if missing else ""
    print(f"{registered}: {len(versions)} versions, {aliases(events)}{lost}")


def hold_number(client, registered: str, number: int) -> None:
    """Use up the number of a version whose content is gone, so that the later ones keep theirs."""
    numbers = [int(version.version) for version in client.search_model_versions(f"name = '{registered}'")]
    if max(numbers, default=0) < number:
        if not client.search_registered_models(f"name = '{registered}'"):
            client.create_registered_model(registered)
        held = client.create_model_version(registered, source=(tracking.root() / "mlruns").as_uri())
        client.delete_model_version(registered, held.version)


def aliases(events: list[dict]) -> dict[str, str]:
    """Which version is champion and which previous after these decisions and rollbacks."""
    champion = previous = None
    for event in events:
        if event["event"] == "rolled back" or event["promote"]:
            champion, previous = event["version"], event["against"]
    named = {promotion.CHAMPION: champion, promotion.PREVIOUS: previous}
    return {alias: version for alias, version in named.items() if version}


def collect(names: tuple[str, ...], folder: Path) -> dict[str, Content]:
    """Contents by key, from DVC's cache (restored below `folder`) and the workspace; of equals, the first trained."""
    found = list(cached_contents(folder))
    for name in names:
        try:
            found.append(content.read(name))
        except UserError:
            continue  # not trained, or in the middle of a change
    found.sort(key=lambda item: item.receipt["started"], reverse=True)
    return {item.key: item for item in found}


def cached_contents(folder: Path) -> Iterator[Content]:
    """Restore every pair of a training and its evaluation that DVC's run cache has and whose files it still holds."""
    cache = Path(subprocess.run(("dvc", "cache", "dir"), capture_output=True, text=True, check=True).stdout.strip())
    records = [YAML(typ="safe").load(path) for path in sorted((cache / "runs").rglob("*")) if path.is_file()]
    trainings = [record for record in records if record["cmd"].startswith("python -m pipeline.train ")]
    evaluations = [record for record in records if record["cmd"].startswith("python -m pipeline.evaluate ")]
    for number, (training, evaluation) in enumerate((t, e) for t in trainings for e in evaluations):
        workspace = folder / str(number)
        name = training["cmd"].split()[-1]
        try:
            files = listed(cache, training["outs"][0])
            evaluated = {dep["path"]: dep["md5"] for dep in evaluation["deps"]}
            measured = (*content.MODEL_FILES.values(), "history.csv")
            if any(evaluated.get(f"models/{name}/{file}") != files[file] for file in measured):
                continue
            for file, md5 in files.items():
                restore(cache, md5, workspace / "models" / name / file)
            for out in evaluation["outs"]:
                restore(cache, out["md5"], workspace / out["path"])
            (dataset,) = [dep for dep in training["deps"] if dep["path"] == "data/prepared/dataset.json"]
            restore(cache, dataset["md5"], workspace / dataset["path"])
            yield content.read(name, workspace)
        except (OSError, KeyError, UserError):
            continue  # DVC's garbage collection has taken a part, or an older version of the project made it


def listed(cache: Path, out: dict) -> dict[str, str]:
    """The files of a cached folder, by path, with their md5."""
    return {entry["relpath"]: entry["md5"] for entry in json.loads(cached_file(cache, out["md5"]).read_text())}


def cached_file(cache: Path, md5: str) -> Path:
    return cache / "files" / "md5" / md5[:2] / md5[2:]


def restore(cache: Path, md5: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(cached_file(cache, md5), path)


if __name__ == "__main__":
    run(main)
