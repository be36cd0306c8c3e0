"""Carry out the promotion gate's decisions in MLflow: aliases, the tag `promotion` of a version, and the journal."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config.promotion import Promotion
from pipeline.evaluation.gate import Candidate, Decision, decide
from pipeline.evaluation.latency import measure_latencies_ms
from pipeline.tracking.journal import DECIDED, append_event, read_events
from pipeline.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, PREVIOUS = "champion", "previous"
Record = dict[str, Any]  # a decision with the version, the champion that it was judged against, and the policy


def promote(store: Store, versions: "list[ModelVersion]", policy: Promotion) -> dict[str, Record]:
    """Decide on each version, the most accurate first, and carry it out; return the record of each by version.

    A version is decided on once against one champion under one policy. The caller holds the lock. What a killed
    process left undone is finished here: the aliases move before journal and tag are written, which are added then.
    """
    records = {}
    for version in sorted(versions, key=lambda v: (-float(v.tags["val_accuracy"]), int(v.version))):
        number, aliases = str(version.version), store.aliases()
        is_champion = aliases.get(CHAMPION) == number
        against = aliases.get(PREVIOUS) if is_champion else aliases.get(CHAMPION)
        record = json.loads(version.tags.get("promotion", "null"))
        if not (record and has_policy(record, policy) and (is_champion or record["against"] == against)):
            decision = judge(version, store.version(against) if against else None, policy)
            if decision.promote and not is_champion:
                make_champion(store, number, against)
            record = {"version": number, "content_key": version.tags["content_key"], "against": against}
            record |= {"policy": policy.model_dump(), **asdict(decision)}
            append_event({"event": DECIDED, "name": store.name, "model": version.tags["model"], **record})
            store.tag_version(number, "promotion", json.dumps(record))
        records[number] = record
    return records


def has_policy(record: Record, policy: Promotion) -> bool:
    """Return whether a decision was made under this policy, whose keys may have had other names then, or been fewer.

    Otherwise a new name or a new key would judge every version again, and could promote one that was rolled back.
    """
    recorded = {Promotion.renamed_keys.get(key, key): value for key, value in record["policy"].items()}
    return bool(recorded.items() <= policy.model_dump().items())


def judge(version: "ModelVersion", champion: "ModelVersion | None", policy: Promotion) -> Decision:
    """Decide on a version by what MLflow has of it and of the champion, if there is one."""
    if champion is None:
        return decide(load_candidate(version, policy), None, policy)
    is_same_network = champion.tags["onnx_sha256"] == version.tags["onnx_sha256"]
    if is_same_network and int(version.version) > int(champion.version):
        return Decision(True, ["the champion's own network, with newer serving code or requirements"])
    candidate = load_candidate(version, policy)
    events = [event for event in read_events() if event.get("validation_sha256") == candidate.validation_sha256]
    others = {event["content_key"] for event in events} - {version.tags["content_key"]}
    return decide(candidate, load_candidate(champion, policy), policy, len(others))


def make_champion(store: Store, number: str, old: str | None) -> None:
    """Make a version the champion and the old one, if any, the previous; at each moment one of them is champion."""
    if old:
        store.set_alias(PREVIOUS, old)
    store.set_alias(CHAMPION, number)


def load_candidate(version: "ModelVersion", policy: Promotion) -> Candidate:
    """Return what the gate needs of a registered version, from the run that made it."""
    import pandas as pd
    from mlflow.artifacts import download_artifacts

    path = download_artifacts(run_id=version.run_id, artifact_path="report/predictions.csv")
    rows = pd.read_csv(path, usecols=["split", "image", "label", "digit"]).query("split == 'val'")
    latencies_ms = None
    if policy.max_latency_ms is not None:
        folder = Path(download_artifacts(f"models:/{version.name}/{version.version}"))
        latencies_ms = measure_latencies_ms(folder / "artifacts" / "model.onnx")
    image, label, digit = (rows[column].to_numpy() for column in ("image", "label", "digit"))
    return Candidate(image, label, digit, int(version.tags["onnx_size"]), latencies_ms)
