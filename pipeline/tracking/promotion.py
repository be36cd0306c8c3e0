"""Ask the promotion gate about versions, then carry out and record its decisions."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.promotion import Promotion
from pipeline.evaluation.gate import Candidate, Decision, check_limits, decide
from pipeline.evaluation.latency import measure_latencies_ms
from pipeline.tracking.champions import Champion, State
from pipeline.tracking.journal import DECIDED, Event, append_event, now, read_events
from pipeline.tracking.location import store_file, store_label
from pipeline.tracking.registry import (
    CHAMPION,
    DECISION_TAG,
    STATE_TAG,
    describe,
    number_of,
    promote_by_gate,
    set_aliases,
    settle,
    tag_decision,
    to_champion,
    to_tag,
    write_state,
)
from pipeline.tracking.runs import ANSWERS
from pipeline.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

Record = Event  # a decision with the version, the champion that it was judged against, and the policy
REJECTED = "its network was rejected by a person: `make promote VERSION={}` takes that back"

MOVED_BACK = (
    "{0}: the alias champion was moved to version {1} meanwhile, and was moved back; `make promote VERSION={1}` makes "
    "that version champion"
)
FORMER = "its network was champion before the present one: `make rollback` or `make promote VERSION={}` brings it back"
FOREIGN = (
    "the champion, version {}, is not of this pipeline or has lost its run, so nothing can be compared with it: "
    "`make promote VERSION={}` makes this version champion"
)


def promote(
    store: Store, versions: "list[ModelVersion]", policy: Promotion, may_decide: bool = True
) -> dict[str, Record]:
    """Decide on each version, the most accurate first, and carry the decisions out; return the records by version.

    A version is decided on only once for each champion and policy. Without `may_decide`, undecided versions stay
    undecided, and have no record. The caller holds the lock.
    """
    state, records = settle(store), dict[str, Record]()
    for version in sorted(versions, key=lambda v: (-float(v.tags["val_accuracy"]), int(v.version))):
        number = str(version.version)
        record: Record | None = json.loads(store.version(number).tags.get(DECISION_TAG, "null"))
        if record is None or not is_settled(record, to_champion(version), state, policy):
            if not may_decide:
                continue
            record = {"version": number, "against": number_of(state.champion)}
            record |= judge(store, version, state, policy)
            state = carry_out(store, state, version, record)
        records[number] = record
    if store_file() is None:
        confirm(store, state)
    return records


def confirm(store: Store, state: State) -> None:
    """Restore the state in which this command left a server, if something else has changed it meanwhile.

    That may be a killed command, whose last request reached the server late, or a person. Report a moved champion.
    """
    model = store.registered_model()
    if model is None:
        return
    aliases = {alias: str(number) for alias, number in model.aliases.items()}
    moved = aliases.get(CHAMPION)
    if moved and state.champion and moved != state.champion.version:
        print(MOVED_BACK.format(store.name, moved), file=sys.stderr)
    if json.loads(model.tags.get(STATE_TAG, "null")) != to_tag(state):
        write_state(store, state)
    set_aliases(store, state, aliases)


def is_settled(record: Record, own: Champion, state: State, policy: Promotion) -> bool:
    """Return whether a decision still holds: on the champion, a rejection, or the gate's refusal in the same case."""
    if own == state.champion:
        return True
    if record["promote"] or (own.network in state.rejected) != (record["policy"] is None):
        return False
    return record["policy"] is None or (has_policy(record, policy) and record["against"] == number_of(state.champion))


def is_decided(version: "ModelVersion", policy: Promotion) -> bool:
    """Return whether a person has decided on a version, or the gate under this policy."""
    record = json.loads(version.tags.get(DECISION_TAG, "null"))
    return record is not None and (record["policy"] is None or has_policy(record, policy))


def has_policy(record: Record, policy: Promotion) -> bool:
    """Return whether a decision was made under this policy; older records may have old names of keys or lack some."""
    recorded = {Promotion.renamed_keys.get(key, key): value for key, value in record["policy"].items()}
    return recorded.items() <= dump(policy).items()


def dump(policy: Promotion) -> dict[str, object]:
    """Return the part of the policy by which the gate decides."""
    return policy.model_dump(exclude={"in_experiments"})


def judge(store: Store, version: "ModelVersion", state: State, policy: Promotion) -> Record:
    """Decide on a version, from MLflow's data on it and on the champion; return policy, promote and reasons.

    The policy is None where a person has decided.
    """
    own = to_champion(version)
    if own == state.champion:
        return {"policy": None, "promote": True, "reasons": ["it is champion"]}
    if own.network in state.rejected:
        return {"policy": None, "promote": False, "reasons": [REJECTED.format(own.version)]}
    former = [champion.network for champion in state.champions[:-1]]
    if own.network in former:  # the gate has found a better one since, or a person preferred another one
        decision = Decision(False, [FORMER.format(own.version)])
    else:
        decision = compare(store, version, state.champion, policy)
    return {"policy": dump(policy), **asdict(decision)}


def compare(store: Store, version: "ModelVersion", champion: Champion | None, policy: Promotion) -> Decision:
    """Ask the gate; the champion's own network with newer serving code or requirements only has to keep the limits."""
    candidate = load_candidate(version, policy)
    if champion is None:
        return decide(candidate, None, policy)
    if to_champion(version).network == champion.network and int(version.version) > int(champion.version):
        objections = check_limits(candidate, policy)
        return Decision(
            not objections, objections or ["the champion's own network, with newer serving code or requirements"]
        )
    rival = store.version(champion.version)
    # Another tool registered it, and a person gave it the alias; or `mlflow gc` has removed its run.
    if "content_key" not in rival.tags or not store.run(str(rival.run_id)):
        return Decision(False, [FOREIGN.format(champion.version, version.version)])
    others = find_judged(store.name, candidate.validation_sha256) - {version.tags["content_key"]}
    return decide(candidate, load_candidate(rival, policy), policy, len(others))


def find_judged(name: str, validation_sha256: str) -> set[str]:
    """Return the content keys of the versions of a registered model that were tested on these validation images."""
    events = read_events(store_label(), name)
    return {str(event.get("content_key")) for event in events if event.get("validation_sha256") == validation_sha256}


def carry_out(store: Store, state: State, version: "ModelVersion", record: Record) -> State:
    """Promote the version if the record says so, else tag it with the record and journal that; return the state."""
    if record["promote"] and to_champion(version) != state.champion:
        return promote_by_gate(store, state, version, record)
    append_event(describe(store, {"time": now(), "event": DECIDED, **record}, {record["version"]: version}))
    tag_decision(store, version, record)
    return state


def load_candidate(version: "ModelVersion", policy: Promotion) -> Candidate:
    """Return what the gate needs of a registered version, from the run that made it."""
    from mlflow.artifacts import download_artifacts

    from pipeline.evaluation.tables import read_predictions

    path = download_artifacts(run_id=version.run_id, artifact_path=ANSWERS)
    rows = read_predictions(Path(path)).query("split == 'val'")
    latencies_ms = None
    if policy.max_latency_ms is not None:
        folder = Path(download_artifacts(f"models:/{version.name}/{version.version}"))
        latencies_ms = measure_latencies_ms(folder / "artifacts" / "model.onnx")
    image, label, answer = (rows[column].to_numpy() for column in ("image", "label", "answer"))
    return Candidate(image, label, answer, int(version.tags["onnx_size"]), latencies_ms)
