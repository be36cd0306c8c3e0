"""The registry's state in MLflow's store, from which aliases, tags and the journal follow.

The tag `champions` of the registered model holds the state and the event that is under way. A change is written there
first, then to the journal, then to tags and aliases; at last the event is removed. So the next command, also in another
checkout, knows what a killed command left, and finishes it before it does anything else.
"""

import json
from typing import TYPE_CHECKING, Any

from pipeline.cli import UserError
from pipeline.tracking.champions import Champion, State, describe_rejection, network_of, replay
from pipeline.tracking.journal import DECIDED, PROMOTED, ROLLED_BACK, Event, append_event, now, read_events
from pipeline.tracking.location import store_label
from pipeline.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, PREVIOUS = "champion", "previous"
STATE_TAG, DECISION_TAG = "champions", "promotion"  # of the registered model; of a version
# Databases of MLflow's servers keep 5,000 characters of a tag.
MOST_CHAMPIONS, MOST_REJECTED, MOST_CHARACTERS = 100, 100, 500
REBUILD = {"event": "rebuild"}  # the event that is under way while an empty store is rebuilt
CONTENT = ("model", "content_key", "trained_key", "onnx_sha256")  # tags of a version that events carry

DECISION = ("against", "policy", "promote", "reasons", "validation_sha256")  # entries that a version keeps

Versions = dict[str, "ModelVersion"]


def settle(store: Store, events: list[Event] | None = None) -> State:
    """Return the registry's state, after finishing what a killed command left; the caller holds the lock.

    An alias that a person moved in MLflow counts as a promotion by that person. A store without a state, because it is
    new or from an older version of this project, gets the journal's state (`events`, by default those of this store).
    """
    model = store.registered_model()
    if model is None:
        return State()
    versions = {str(version.version): version for version in store.search_versions()}
    aliases = {alias: str(number) for alias, number in model.aliases.items()}
    recorded = json.loads(model.tags.get(STATE_TAG, "null"))
    if recorded and recorded["event"] == REBUILD and events is None:
        raise UserError("`make rebuild-tracking` was cut short in this store: run it again")
    if recorded and recorded["event"] != REBUILD:
        champions = tuple(to_champion(versions[number]) for number in recorded["champions"] if number in versions)
        state = State(champions, tuple(recorded["rejected"]))
        if recorded["event"]:
            return finish(store, state, recorded["event"], versions)
    else:
        state = read_first_state(store, versions, aliases, events)
        write_state(store, state)
    moved = versions.get(aliases.get(CHAMPION, ""))
    if moved and number_of(state.champion) != str(moved.version):
        return promote_by_hand(store, state, moved, "the alias was moved in MLflow")
    set_aliases(store, state, aliases)
    return state


def begin_rebuild(store: Store) -> bool:
    """Mark a store without versions as being rebuilt; return whether it is, by this command or one that was killed.

    Until `settle` gets the journal's events, other commands refuse the store, because a part of it is still missing.
    """
    model = store.registered_model()
    if model and json.loads(model.tags.get(STATE_TAG, "{}")).get("event") == REBUILD:
        return True
    if store.search_versions():
        return False
    if model is None:
        store.client.create_registered_model(store.name)
    write_state(store, State(), REBUILD)
    return True


def read_first_state(store: Store, versions: Versions, aliases: dict[str, str], events: list[Event] | None) -> State:
    """Return the state of a store that doesn't record it: the journal's, unless the store has another champion."""
    if events is None:
        events = read_events(store_label(), store.name)
    state = replay(events, lambda event: find_content(event, versions))
    found = aliases.get(CHAMPION)
    if found is None or found == number_of(state.champion):
        return state
    previous = [to_champion(versions[aliases[PREVIOUS]])] if PREVIOUS in aliases else []
    below = tuple(one for one in previous if one.network not in state.rejected)
    return State(below, state.rejected).promote(to_champion(versions[found]))


def find_content(event: Event, versions: Versions) -> Champion | None:
    """Return the version for an event: with the same content, else of the same training, else with the same network."""
    for key in ("content_key", "trained_key", "onnx_sha256"):
        same = [version for version in versions.values() if event.get(key) and version.tags.get(key) == event[key]]
        if same:
            return to_champion(max(same, key=lambda version: int(version.version)))
    return None


def to_champion(version: "ModelVersion") -> Champion:
    """Return a version as the state records it; one that another tool registered counts as a network of its own."""
    number = str(version.version)
    return Champion(number, network_of(version.tags) or f"version {number}")


def promote_by_gate(store: Store, state: State, version: "ModelVersion", record: Event) -> State:
    """Make a version champion, as the gate's record of its decision says; return the new state."""
    return change(store, state.promote(to_champion(version)), {"event": DECIDED, **record})


def promote_by_hand(store: Store, state: State, version: "ModelVersion", reason: str) -> State:
    """Make a version champion because a person says so, also if its network was rejected; return the new state."""
    event: Event = {"event": PROMOTED, "version": str(version.version), "against": number_of(state.champion)}
    event |= {"policy": None, "promote": True, "reasons": [to_text(reason)]}
    return change(store, state.promote(to_champion(version)), event)


def roll_back(store: Store, state: State, reason: str) -> State:
    """Reject the champion's network and make the previous champion the champion again; return the new state."""
    assert state.champion
    assert state.previous
    event: Event = {"event": ROLLED_BACK, "version": state.previous.version, "against": state.champion.version}
    event |= {"rejected": state.champion.network, "reasons": [to_text(reason)]}
    return change(store, state.roll_back(), event)


def to_text(reason: str) -> str:
    """Return a person's reason as each store can keep it: not too long, and with a ? for a byte that isn't UTF-8."""
    return reason.encode(errors="replace").decode()[:MOST_CHARACTERS]


def change(store: Store, state: State, event: Event) -> State:
    """Record a new state with the event that led to it, then carry it out; return the state."""
    event = {"time": now(), **event}
    write_state(store, state, event)
    return finish(store, state, event, {str(version.version): version for version in store.search_versions()})


def finish(store: Store, state: State, event: Event, versions: Versions) -> State:
    """Carry out the parts that are still missing of the event under way in the store; return the state."""
    journalled = describe(store, event, versions)
    if journalled not in read_events(store_label(), store.name):
        append_event(journalled)
    if event["event"] == ROLLED_BACK:
        for version in versions.values():
            if to_champion(version).network == event["rejected"]:
                tag_decision(store, version, describe_rejection(event))
    elif event["version"] in versions:
        tag_decision(store, versions[event["version"]], event)
    set_aliases(store, state, store.aliases())
    write_state(store, state)
    return state


def describe(store: Store, event: Event, versions: Versions) -> Event:
    """Return an event as the journal records it: with the store, and with the content of the version."""
    tags = versions[event["version"]].tags if event["version"] in versions else {}
    content = {key: tags[key] for key in CONTENT if key in tags}
    time, kind = event["time"], event["event"]
    return {"time": time, "event": kind, "store": store_label(), "name": store.name, **content, **event}


def tag_decision(store: Store, version: "ModelVersion", decision: Event) -> None:
    """Keep a decision and its reasons with the version."""
    number = str(version.version)
    record = {"version": number, "content_key": version.tags.get("content_key")}
    record |= {key: decision[key] for key in DECISION if key in decision}
    store.tag_version(number, DECISION_TAG, json.dumps(record))


def set_aliases(store: Store, state: State, aliases: dict[str, str]) -> None:
    """Give the aliases to the versions that the state names; `champion` is on one of them at each moment."""
    previous, champion = number_of(state.previous), number_of(state.champion)
    if previous and aliases.get(PREVIOUS) != previous:
        store.set_alias(PREVIOUS, previous)
    if champion and aliases.get(CHAMPION) != champion:
        store.set_alias(CHAMPION, champion)
    if previous is None and PREVIOUS in aliases:
        store.delete_alias(PREVIOUS)


def write_state(store: Store, state: State, event: Event | None = None) -> None:
    """Record the state, and the event that is under way."""
    store.tag_model(STATE_TAG, json.dumps(to_tag(state, event)))


def to_tag(state: State, event: Event | None = None) -> dict[str, Any]:
    """Return the tag's content: the state, and the event that is under way."""
    numbers = [champion.version for champion in state.champions[-MOST_CHAMPIONS:]]
    return {"champions": numbers, "rejected": list(state.rejected[-MOST_REJECTED:]), "event": event}


def number_of(champion: Champion | None) -> str | None:
    """Return the number of a champion's version; None without a champion."""
    return champion.version if champion else None
