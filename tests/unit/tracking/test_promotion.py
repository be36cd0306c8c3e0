"""The champion's alias: what moves it, and what of it survives kills, rivals and second thoughts."""

import json
import threading

import pytest

from pipeline.tracking.journal import read_events
from pipeline.tracking.store import lock_registry


def test_worse_equal_and_better_stay_stay_and_move_each_with_its_reason(registry):
    registry.promote("bad")
    assert registry.aliases == {"champion": "1"}
    assert not registry.promote("equal")["2"]["promote"]
    assert registry.aliases == {"champion": "1"}
    assert registry.promote("good")["3"]["promote"]
    assert registry.aliases == {"champion": "3", "previous": "1"}
    recorded = [(event["version"], event["against"], event["promote"]) for event in read_events()]
    assert recorded == [("1", None, True), ("2", "1", False), ("3", "1", True)]
    assert all(event["reasons"] and event["time"] for event in read_events())
    for version in registry.versions.values():
        assert json.loads(version.tags["promotion"])["reasons"]


def test_of_many_the_best_is_promoted_and_the_rest_are_refused(registry):
    records = registry.promote("bad", "equal", "good")
    assert registry.aliases == {"champion": "3"}
    assert [number for number, record in records.items() if record["promote"]] == ["3"]


def test_deciding_again_changes_and_records_nothing(registry):
    registry.promote("bad")
    registry.promote("equal", "good", "bad")
    aliases, events = dict(registry.aliases), read_events()
    registry.promote("bad", "equal", "good")
    before_last = len(read_events())
    registry.promote("bad", "equal", "good")
    assert registry.aliases == aliases
    # The others are judged once against the new champion, and then no more.
    assert len(events) <= before_last == len(read_events())


def test_the_champions_network_with_newer_serving_code_takes_over(registry):
    registry.promote("bad")
    registry.versions["2"].tags["onnx_sha256"] = "bad"
    assert registry.promote("equal")["2"]["reasons"] == [
        "the champion's own network, with newer serving code or requirements"
    ]
    assert registry.aliases["champion"] == "2"


@pytest.mark.parametrize("step", range(4))
def test_a_promoter_that_is_killed_leaves_a_champion_and_the_next_finishes(registry, step):
    registry.promote("bad")
    registry.fuse = step
    try:
        registry.promote("good")
    except KeyboardInterrupt:
        assert registry.aliases["champion"] in ("1", "3")
    registry.fuse = -1
    registry.promote("good")
    assert registry.aliases == {"champion": "3", "previous": "1"}
    decided = [event for event in read_events() if event["version"] == "3"]
    assert [event["promote"] for event in decided] == [True]
    assert json.loads(registry.versions["3"].tags["promotion"])["against"] == "1"
    assert None not in registry.champions[2:]  # from the first champion on, there is always one


def test_two_promoters_at_once_take_turns(registry):
    registry.promote("bad")
    inside, most = [], []

    def one(name: str) -> None:
        with lock_registry():
            inside.append(name)
            most.append(len(inside))
            registry.promote(name)
            inside.remove(name)

    threads = [threading.Thread(target=one, args=(name,)) for name in ("good", "equal", "good", "equal")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert max(most) == 1
    assert registry.aliases == {"champion": "3", "previous": "1"}
