"""The champion's alias: what moves it, and what of it survives kills, rivals and second thoughts."""

import json
import threading

import pytest

from pipeline.tracking import promotion
from pipeline.tracking.journal import read_events
from pipeline.tracking.store import lock_registry
from tests.helpers.candidates import POLICY


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


def test_of_equally_accurate_versions_the_older_is_promoted(registry):
    registry.promote("equal", "bad")
    assert registry.aliases == {"champion": "1"}


def test_a_decision_is_recorded_with_version_champion_and_policy(registry):
    record = registry.promote("bad")["1"]
    assert record == {
        "version": "1", "content_key": "bad", "against": None, "policy": POLICY.model_dump(), "promote": True,
        "reasons": ["there is no champion; validation accuracy 0.9500"], "validation_sha256": None,
    }  # fmt: skip
    assert json.loads(registry.versions["1"].tags["promotion"]) == record
    (event,) = read_events()
    del event["time"]
    assert event == {"event": "decided", "name": "digits", "model": "bad", **record}


def test_each_decision_on_the_same_validation_images_says_how_many_there_were(registry):
    first = registry.promote("bad")["1"]
    later = registry.promote("equal", "good")
    later |= registry.promote("bad")
    assert [first["reasons"][-1].split()[0], *(later[number]["reasons"][-1][:10] for number in "321")] == [
        "there", "decision 1", "decision 2", "decision 3",
    ]  # fmt: skip


def test_another_policy_decides_again(registry):
    registry.promote("bad")
    registry.promote("good")
    registry.store.set_alias("champion", "1")
    stricter = POLICY.model_copy(update={"min_accuracy_gain": 0.5})
    record = promotion.promote(registry.store, [registry.versions["3"]], stricter)["3"]
    assert (record["promote"], record["policy"]["min_accuracy_gain"]) == (False, 0.5)


def test_a_decision_under_the_policys_former_keys_is_not_made_again(registry):
    """Or the first run of a version with new names, or more keys, would promote again what was rolled back."""
    registry.promote("bad")
    registry.promote("good")
    registry.store.set_alias("champion", "1")  # rolled back
    tags = registry.versions["3"].tags
    former = {"margin": 0.0, "alpha": POLICY.alpha, "max_size": None, "max_latency": None}
    tags["promotion"] = json.dumps(json.loads(tags["promotion"]) | {"policy": former})
    registry.promote("bad", "good")
    assert registry.aliases["champion"] == "1"
    tags["promotion"] = json.dumps(json.loads(tags["promotion"]) | {"policy": former | {"margin": 0.001}})
    registry.promote("good")
    assert registry.aliases["champion"] == "3"


def test_an_older_version_of_the_champions_network_does_not_take_over(registry):
    registry.promote("equal")
    registry.versions["1"].tags["onnx_sha256"] = "equal"
    assert not registry.promote("bad")["1"]["promote"]
    assert registry.aliases == {"champion": "2"}


def test_the_old_champion_is_the_previous_before_the_new_one_is_champion(registry):
    registry.promote("bad")
    registry.fuse = 1
    with pytest.raises(KeyboardInterrupt):
        registry.promote("good")
    assert registry.aliases == {"champion": "1", "previous": "1"}
