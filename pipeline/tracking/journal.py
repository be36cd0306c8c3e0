"""The journal promotions.jsonl: every decision on the champion and every rollback, one JSON line each.

It lies beside MLflow's store and not in it, so a store that was lost can be rebuilt with its champion.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.paths import project_root

DECIDED, ROLLED_BACK = "decided", "rolled back"
Event = dict[str, Any]


def journal_path() -> Path:
    """Return where the journal is: at the project's root, also during an experiment elsewhere."""
    return project_root() / "promotions.jsonl"


def read_events() -> list[Event]:
    """Return all decisions and rollbacks so far, oldest first."""
    path = journal_path()
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append_event(event: Event) -> None:
    """Add an event, with its time, to the journal; a decision that repeats the last line is not added again.

    It is the one that a killed process recorded before it could tag the version.
    """
    last = {key: value for key, value in (read_events() or [{}])[-1].items() if key != "time"}
    if last == event and event["event"] == DECIDED:
        return
    line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), **event})
    with journal_path().open("a") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def replay_aliases(events: list[Event]) -> tuple[str | None, str | None]:
    """Return which version is champion and which was before it, after one registered model's events."""
    champion = previous = None
    for event in events:
        if event["event"] == ROLLED_BACK or event["promote"]:
            champion, previous = event["version"], event["against"]
    return champion, previous
