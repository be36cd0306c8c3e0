"""The journal promotions.jsonl: every decision on the champion, by the gate or by a person, one JSON line each.

It lies beside MLflow's store and not in it, so a store that was lost can be rebuilt with its champion. Lines are only
added to it. It belongs to the project: commit it with dvc.lock.
"""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.paths import project_root

# The gate's decision; a promotion and a rollback by a person; the rest of a line that was cut off.
DECIDED, PROMOTED, ROLLED_BACK, CUT_OFF = "decided", "promoted", "rolled back", "cut off"
NEEDED = {"event", "name", "version", "against"}  # entries that each event of a registered model has
NEEDED_OF_DECISION = {"promote", "reasons"}
OWN_STORE = "mlflow.db"  # the store of events of older versions, which don't name their store
NO_EVENT = "warning: {}, line {}, is no event and is left out: {!r}"
WAS_CUT_OFF = "warning: the last line of {} was cut off: {!r}"
Event = dict[str, Any]


def journal_path() -> Path:
    """Return where the journal is: at the project's root, also during an experiment elsewhere."""
    return project_root() / "promotions.jsonl"


def now() -> str:
    """Return the time as events record it; its microseconds distinguish an event from its repetition."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def read_events(store: str, name: str) -> list[Event]:
    """Return the events of one registered model in one store, oldest first; report lines that can't be read."""
    path = journal_path()
    events = []
    for number, line in enumerate(path.read_text(errors="replace").split("\n") if path.exists() else [], start=1):
        event = parse(line)
        if event is None and line.strip():
            print(NO_EVENT.format(path, number, line[:60]), file=sys.stderr)
        elif event and (event.get("store", OWN_STORE), event.get("name")) == (store, name):
            events.append(event)
    return events


def append_event(*events: Event) -> None:
    """Add events at the journal's end, each on a line of its own, and wait until they are on the disk.

    The rest of a line that was cut off (by a full disk, a power cut) becomes an event that says so.
    """
    line = "".join(json.dumps(event) + "\n" for event in events)
    with journal_path().open("a+b") as file:
        file.seek(0)
        content = file.read()
        rest = content.rpartition(b"\n")[2]
        text = rest.decode(errors="replace")
        if text and parse(text) is None:
            print(WAS_CUT_OFF.format(journal_path(), text[:60]), file=sys.stderr)
            file.truncate(len(content) - len(rest))
            line = json.dumps({"event": CUT_OFF, "time": now(), "text": text}) + "\n" + line
        elif text:
            line = "\n" + line
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def parse(line: str) -> Event | None:
    """Return the event on a line; None if the line isn't an event."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and is_whole(event) else None


def is_whole(event: Event) -> bool:
    """Return whether an event has all entries of its kind: a line may be edited or merged by hand."""
    kind = event.get("event")
    if kind == CUT_OFF:
        return True
    needed = NEEDED | NEEDED_OF_DECISION if kind in (DECIDED, PROMOTED) else NEEDED
    return event.keys() >= needed and str(event["version"]).isdecimal()
