"""Which version is the champion: a pure decision, and the aliases, tags and journal that carry it out.

`python -m pipeline.tracking.promotion` takes the last promotion back (`make rollback`).
"""

import json
import os
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from filelock import FileLock

from pipeline.cli import UserError, run
from pipeline.config.promotion import Promotion
from pipeline.files import read_json
from pipeline.tracking import store as tracking

CHAMPION, PREVIOUS = "champion", "previous"


@dataclass(frozen=True)
class Candidate:
    """A version as the gate sees it: labels and answers on the validation images [n], and its cost."""

    image: np.ndarray
    label: np.ndarray
    digit: np.ndarray
    size: int  # bytes of model.onnx
    latency: float | None = None  # milliseconds for one image, if a limit asks for it

    @property
    def correct(self) -> np.ndarray:
        return self.digit == self.label

    def at(self, digit: int) -> "Candidate":
        """The same, on the images of one digit."""
        here = self.label == digit
        return replace(self, image=self.image[here], label=self.label[here], digit=self.digit[here])


@dataclass(frozen=True)
class Decision:
    promote: bool
    reasons: list[str]


def decide(candidate: Candidate, champion: Candidate | None, policy: Promotion) -> Decision:
    """Promote a candidate that keeps the limits, is more accurate by the margin, and is worse at no digit.

    "Worse at a digit": fewer of its validation images right, with p below alpha, divided by the number of digits
    (Bonferroni). The test is McNemar's on the same images, Fisher's where the two were validated on different ones.
    """
    against = []
    if policy.max_size_bytes is not None and candidate.size > policy.max_size_bytes:
        against.append(f"its file of {candidate.size} bytes exceeds the limit of {policy.max_size_bytes}")
    if policy.max_latency_ms is not None and candidate.latency > policy.max_latency_ms:
        against.append(f"its {candidate.latency:.2f} ms an image exceed the limit of {policy.max_latency_ms:g}")
    mine = candidate.correct.mean()
    if champion is None:
        return Decision(not against, against or [f"there is no champion; validation accuracy {mine:.4f}"])
    theirs = champion.correct.mean()
    p = p_value(candidate, champion)
    gain = f"validation accuracy {mine:.4f} against {theirs:.4f} (p = {p:.2g})"
    if not (mine > theirs and mine - theirs >= policy.min_accuracy_gain):
        against.append(f"{gain}: not better by the margin of {policy.min_accuracy_gain:g}")
    digits = np.unique(champion.label)
    for digit in digits:
        here, there = candidate.at(digit), champion.at(digit)
        p = p_value(here, there)
        if here.correct.mean() < there.correct.mean() and p < policy.alpha / len(digits):
            against.append(
                f"worse at digit {digit}: {here.correct.mean():.4f} against {there.correct.mean():.4f} (p = {p:.2g})"
            )
    return Decision(not against, against or [f"{gain}, and worse at no digit"])


def p_value(one: Candidate, other: Candidate) -> float:
    """The probability of so large a difference in correct answers between two that are equally good."""
    from pipeline.evaluation.significance import fisher, mcnemar

    if np.array_equal(one.image, other.image) and np.array_equal(one.label, other.label):
        return mcnemar(one.correct, other.correct)
    return fisher(one.correct, other.correct)


def promote(client, registered: str, versions: list, policy: Promotion) -> dict[str, dict]:
    """Decide on each version, the most accurate first, and carry it out; return the record of each by version.

    A version is decided on once against one champion under one policy. The caller holds the lock. What a killed
    promoter left undone is finished here: the alias moves last but for tag and journal, which are added then.
    """
    records = {}
    for version in sorted(versions, key=lambda v: (-float(v.tags["val_accuracy"]), int(v.version))):
        number, aliases = str(version.version), current_aliases(client, registered)
        held = aliases.get(CHAMPION) == number
        against = aliases.get(PREVIOUS) if held else aliases.get(CHAMPION)
        record = json.loads(version.tags.get("promotion", "null"))
        settled = record and record["policy"] == policy.model_dump() and (held or record["against"] == against)
        if not settled:
            rival = client.get_model_version(registered, against) if against else None
            decision = judge(client, version, rival, policy)
            if decision.promote and not held:
                move(client, registered, number, against)
            record = {"version": number, "content_key": version.tags["content_key"], "against": against}
            record |= {"policy": policy.model_dump(), **asdict(decision)}
            append_to_journal({"event": "decided", "name": registered, "model": version.tags["model"], **record})
            client.set_model_version_tag(registered, number, "promotion", json.dumps(record))
        records[number] = record
    return records


def current_aliases(client, registered: str) -> dict[str, str]:
    """Version by alias; as text, because MLflow's stores differ in whether a version is a number."""
    return {alias: str(number) for alias, number in client.get_registered_model(registered).aliases.items()}


def judge(client, version, champion, policy: Promotion) -> Decision:
    """Decide on a version by what MLflow has of it and of the champion, if there is one."""
    same_network = champion and champion.tags["onnx_sha256"] == version.tags["onnx_sha256"]
    if same_network and int(version.version) > int(champion.version):
        return Decision(True, ["the champion's own network, with newer serving code or requirements"])
    rival = load_candidate(client, champion, policy) if champion else None
    return decide(load_candidate(client, version, policy), rival, policy)


def move(client, registered: str, version: str, old: str | None) -> None:
    """Make a version the champion and the old one, if any, the previous; at each moment one of them is champion."""
    if old:
        client.set_registered_model_alias(registered, PREVIOUS, old)
    client.set_registered_model_alias(registered, CHAMPION, version)


def load_candidate(client, version, policy: Promotion) -> Candidate:
    """What the gate needs of a registered version, from the run that made it."""
    import mlflow
    import pandas as pd

    path = mlflow.artifacts.download_artifacts(run_id=version.run_id, artifact_path="report/predictions.csv")
    rows = pd.read_csv(path, usecols=["split", "image", "label", "digit"]).query("split == 'val'")
    latency = measure_latency(version) if policy.max_latency_ms is not None else None
    columns = {column: rows[column].to_numpy() for column in ("image", "label", "digit")}
    return Candidate(**columns, size=int(version.tags["onnx_size"]), latency=latency)


def measure_latency(version, runs: int = 300) -> float:
    """Median milliseconds of ONNX Runtime for one image, with one thread, after a warm-up."""
    import time

    import mlflow
    import onnxruntime

    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{version.name}/{version.version}"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "artifacts" / "model.onnx", options)
    image, times = np.zeros((1, 28, 28), np.float32), []
    for _ in range(runs):
        start = time.perf_counter()
        session.run(None, {"pixels": image})
        times.append(time.perf_counter() - start)
    return float(np.median(times[runs // 10 :]) * 1000)


def lock() -> FileLock:
    """Held by whoever registers, promotes or rolls back; state is read again inside it."""
    return FileLock(tracking.root() / "mlflow.db.register.lock")


def journal() -> list[dict]:
    """All decisions and rollbacks so far, oldest first."""
    path = tracking.root() / "promotions.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append_to_journal(event: dict) -> None:
    """Add a decision or rollback with its time to promotions.jsonl; one that a killed promoter added stays alone."""
    last = {key: value for key, value in (journal() or [{}])[-1].items() if key != "time"}
    if last == event and event["event"] == "decided":
        return
    line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), **event})
    with (tracking.root() / "promotions.jsonl").open("a") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def rollback() -> None:
    """Give the previous champion the alias back; the one that goes becomes the previous."""
    registered = read_json(Path("registry/registry.json"))["name"]
    with lock():
        client, _ = tracking.connect(registered)
        aliases = current_aliases(client, registered)
        if PREVIOUS not in aliases or aliases[PREVIOUS] == aliases[CHAMPION]:
            raise UserError(
                f"{registered} has had no champion before version {aliases.get(CHAMPION)}: nothing to take back"
            )
        gone, back = aliases[CHAMPION], aliases[PREVIOUS]
        client.set_registered_model_alias(registered, CHAMPION, back)
        client.set_registered_model_alias(registered, PREVIOUS, gone)
        append_to_journal({"event": "rolled back", "name": registered, "version": back, "against": gone})
    model = client.get_model_version(registered, back).tags["model"]
    print(f"models:/{registered}@champion is version {back} ({model}) again; version {gone} is the previous one")


if __name__ == "__main__":
    run(rollback)
