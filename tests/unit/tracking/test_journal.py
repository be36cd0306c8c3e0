import json
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.tracking.journal import append_event, read_events, replay_aliases


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def decided(version: str, against: str | None, promote: bool = True) -> dict:
    return {"event": "decided", "version": version, "against": against, "promote": promote}


def rolled_back(version: str, against: str) -> dict:
    return {"event": "rolled back", "version": version, "against": against}


def test_events_come_back_in_their_order_each_with_its_time(root):
    assert read_events() == []
    events = [decided("1", None), decided("2", "1"), rolled_back("1", "2")]
    for event in events:
        append_event(event)
    assert len((root / "promotions.jsonl").read_text().splitlines()) == 3
    found = read_events()
    times = [datetime.fromisoformat(event.pop("time")) for event in found]
    assert found == events
    assert all(timedelta(0) <= datetime.now(UTC) - time < timedelta(minutes=1) for time in times)


def test_a_decision_that_a_killed_process_has_already_recorded_is_not_repeated():
    append_event(decided("1", None))
    append_event(decided("1", None))
    assert len(read_events()) == 1
    append_event(decided("2", "1"))
    append_event(decided("1", None))
    assert [event["version"] for event in read_events()] == ["1", "2", "1"]


def test_a_rollback_is_recorded_each_time():
    append_event(rolled_back("1", "2"))
    append_event(rolled_back("1", "2"))
    assert len(read_events()) == 2


def test_a_decision_that_is_recorded_has_one_line_of_json(root):
    append_event(decided("1", None) | {"reasons": ["first\nline"]})
    (line,) = (root / "promotions.jsonl").read_text().splitlines()
    assert list(json.loads(line)) == ["time", "event", "version", "against", "promote", "reasons"]


def test_an_event_is_on_the_disk_before_the_version_gets_its_tag(root, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", lambda number: synced.append((root / "promotions.jsonl").read_text()))
    append_event(decided("1", None))
    assert synced == [(root / "promotions.jsonl").read_text()]


@pytest.mark.parametrize(
    ("events", "aliases"),
    [
        ([], (None, None)),
        ([decided("1", None)], ("1", None)),
        ([decided("1", None, promote=False)], (None, None)),
        ([decided("1", None), decided("2", "1", promote=False)], ("1", None)),
        ([decided("1", None), decided("2", "1")], ("2", "1")),
        ([decided("1", None), decided("2", "1"), rolled_back("1", "2")], ("1", "2")),
        ([decided("1", None), decided("2", "1"), rolled_back("1", "2"), decided("3", "1")], ("3", "1")),
    ],
)
def test_aliases_follow_from_the_events(events, aliases):
    assert replay_aliases(events) == aliases
