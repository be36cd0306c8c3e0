"""The champion's alias: what moves it, and what stays true after kills, competing commands and rollbacks."""

import json
import re
import threading
from types import SimpleNamespace

import pytest

from pipeline.tracking import journal, promotion
from pipeline.tracking import registry as state
from pipeline.tracking.champions import Champion, State
from pipeline.tracking.lock import lock_registry
from tests.helpers.candidates import POLICY


def events() -> list[dict]:
    return journal.read_events("mlflow.db", "digits")


def test_worse_equal_and_better_stay_stay_and_move_each_with_its_reason(registry):
    registry.promote("bad")
    assert registry.aliases == {"champion": "1"}
    assert not registry.promote("equal")["2"]["promote"]
    assert registry.aliases == {"champion": "1"}
    assert registry.promote("good")["3"]["promote"]
    assert registry.aliases == {"champion": "3", "previous": "1"}
    recorded = [(event["version"], event["against"], event["promote"]) for event in events()]
    assert recorded == [("1", None, True), ("2", "1", False), ("3", "1", True)]
    assert all(event["reasons"] and event["time"] for event in events())
    for version in registry.versions.values():
        assert json.loads(version.tags["promotion"])["reasons"]


def test_of_many_the_best_is_promoted_and_the_rest_are_refused(registry):
    records = registry.promote("bad", "equal", "good")
    assert registry.aliases == {"champion": "3"}
    assert [number for number, record in records.items() if record["promote"]] == ["3"]


def test_deciding_again_changes_and_records_nothing(registry):
    registry.promote("bad")
    registry.promote("equal", "good", "bad")
    aliases, recorded = dict(registry.aliases), events()
    registry.promote("bad", "equal", "good")
    before_last = len(events())
    registry.promote("bad", "equal", "good")
    assert registry.aliases == aliases
    # The other versions are judged once against the new champion, and then not again.
    assert len(recorded) <= before_last == len(events())


def test_the_champions_network_with_newer_serving_code_takes_over(registry):
    registry.promote("bad")
    registry.versions["2"].tags["onnx_sha256"] = "bad"
    assert registry.promote("equal")["2"]["reasons"] == [
        "the champion's own network, with newer serving code or requirements"
    ]
    assert registry.aliases["champion"] == "2"


@pytest.mark.parametrize("step", range(7))
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
    decided = [event for event in events() if event["version"] == "3"]
    assert [event["promote"] for event in decided] == [True]
    assert json.loads(registry.versions["3"].tags["promotion"])["against"] == "1"
    assert json.loads(registry.tags["champions"])["event"] is None
    first = registry.champions.index("1")
    assert None not in registry.champions[first:]  # from the first champion on, there is always a champion


def test_the_journal_has_an_event_before_the_alias_moves(registry, monkeypatch):
    registry.promote("bad")
    journalled = []
    monkeypatch.setattr(
        state, "append_event", lambda event: journalled.append((event["version"], dict(registry.aliases)))
    )
    registry.promote("good")
    assert journalled == [("3", {"champion": "1"})]


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


@pytest.mark.parametrize("late", ["alias", "state"])
@pytest.mark.parametrize("uri", ["http://host:5000", ""])
def test_what_reaches_a_server_after_the_command_was_killed_that_sent_it_changes_nothing(
    registry, monkeypatch, capsys, late, uri
):
    """With a file as the store, no request arrives late: there, a person has moved the alias."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    registry.promote("bad")
    recorded = registry.tags["champions"]
    registry.promote("good")
    after, original = registry.tags["champions"], promotion.is_settled

    def is_settled(*arguments) -> bool:
        if late == "alias":
            registry.aliases["champion"] = "1"
        else:
            registry.tags["champions"] = recorded
        return original(*arguments)

    monkeypatch.setattr(promotion, "is_settled", is_settled)
    registry.promote("good")
    is_kept = registry.aliases == {"champion": "3", "previous": "1"} and registry.tags["champions"] == after
    assert is_kept is bool(uri)
    said = capsys.readouterr().err
    assert ("the alias champion was moved to version 1 meanwhile, and was moved back" in said) is (
        bool(uri) and late == "alias"
    )


def test_of_equally_accurate_versions_the_older_is_promoted(registry):
    registry.promote("equal", "bad")
    assert registry.aliases == {"champion": "1"}


def test_a_decision_is_recorded_with_version_champion_policy_and_store(registry):
    registry.promote("bad")
    record = json.loads(registry.versions["1"].tags["promotion"])
    assert record == {
        "version": "1", "content_key": "bad", "against": None, "policy": promotion.dump(POLICY), "promote": True,
        "reasons": ["there is no champion; validation accuracy 0.9500"], "validation_sha256": None,
    }  # fmt: skip
    (event,) = events()
    del event["time"]
    assert event == {
        "event": "decided", "store": "mlflow.db", "name": "digits", "model": "bad", "onnx_sha256": "bad", **record,
    }  # fmt: skip


def test_each_decision_on_the_same_validation_images_says_how_many_there_were(registry):
    first = registry.promote("bad")["1"]
    later = registry.promote("equal", "good")
    assert [first["reasons"][-1].split()[0], *(later[number]["reasons"][-1][:10] for number in "32")] == [
        "there", "decision 1", "decision 2",
    ]  # fmt: skip


def test_another_policy_decides_again(registry):
    registry.promote("good", "bad")
    against = json.loads(registry.versions["1"].tags["promotion"])["against"]
    stricter = POLICY.model_copy(update={"min_accuracy_gain": 0.5})
    record = promotion.promote(registry.store, [registry.versions["1"]], stricter)["1"]
    assert (record["promote"], record["policy"]["min_accuracy_gain"], record["against"]) == (False, 0.5, against)


def test_a_decision_under_the_policys_former_keys_is_not_made_again(registry):
    registry.promote("good", "bad")
    tags = registry.versions["1"].tags
    former = {"margin": 0.0, "alpha": POLICY.alpha, "max_size": None, "max_latency": None}
    tags["promotion"] = json.dumps(json.loads(tags["promotion"]) | {"policy": former})
    before = len(events())
    registry.promote("good", "bad")
    assert len(events()) == before
    tags["promotion"] = json.dumps(json.loads(tags["promotion"]) | {"policy": former | {"margin": 0.001}})
    registry.promote("good", "bad")
    assert len(events()) == before + 1


def test_an_older_version_of_the_champions_network_does_not_take_over(registry):
    registry.promote("equal")
    registry.versions["1"].tags["onnx_sha256"] = "equal"
    assert not registry.promote("bad")["1"]["promote"]
    assert registry.aliases == {"champion": "2"}


def roll_back(registry) -> None:
    state.roll_back(registry.store, state.settle(registry.store), "reads sevens as ones")


def test_what_a_person_rolled_back_is_not_promoted_again(registry):
    """This holds whatever became champion since, under any policy, and with any serving code around the network."""
    registry.promote("bad")
    registry.promote("good")
    roll_back(registry)
    assert registry.aliases == {"champion": "1"}
    rejected = json.loads(registry.versions["3"].tags["promotion"])
    assert not rejected["promote"]
    assert re.fullmatch(r"rejected by a person on \d{4}-\d\d-\d\d: reads sevens as ones", rejected["reasons"][0])
    registry.versions["4"] = SimpleNamespace(version="4", name="digits", tags=dict(registry.versions["3"].tags))
    del registry.versions["4"].tags["promotion"]
    for policy in (POLICY, POLICY.model_copy(update={"alpha": 0.01})):
        records = promotion.promote(registry.store, list(registry.versions.values()), policy)
        assert registry.aliases == {"champion": "1"}
        assert records["4"]["reasons"] == [
            "its network was rejected by a person: `make promote VERSION=4` takes that back"
        ]
        assert records["3"] == rejected


def test_a_person_takes_a_rejection_back(registry):
    registry.promote("bad")
    registry.promote("good")
    roll_back(registry)
    state.promote_by_hand(registry.store, state.settle(registry.store), registry.versions["3"], "it was the camera")
    assert registry.aliases == {"champion": "3", "previous": "1"}
    assert events()[-1]["reasons"] == ["it was the camera"]
    registry.promote("bad", "equal", "good")
    assert registry.aliases == {"champion": "3", "previous": "1"}


def test_what_a_person_promoted_over_stays_below(registry):
    """Otherwise the next registration would undo the person's promotion."""
    registry.promote("good", "bad")
    state.promote_by_hand(
        registry.store, state.settle(registry.store), registry.versions["1"], "good enough, and small"
    )
    record = registry.promote("bad", "good")["3"]
    assert registry.aliases == {"champion": "1", "previous": "3"}
    assert record["reasons"] == [
        "its network was champion before the present one: `make rollback` or `make promote VERSION=3` brings it back"
    ]
    roll_back(registry)
    assert registry.aliases == {"champion": "3"}


def test_an_alias_that_was_moved_in_mlflow_is_a_persons_decision(registry):
    registry.promote("bad")
    registry.promote("good")
    registry.store.set_alias("champion", "2")
    registry.promote("bad", "equal")
    assert registry.aliases == {"champion": "2", "previous": "3"}
    assert (events()[-2]["event"], events()[-2]["reasons"]) == ("promoted", ["the alias was moved in MLflow"])
    roll_back(registry)
    assert registry.aliases == {"champion": "3", "previous": "1"}


def test_a_champion_of_another_tool_stays_and_each_version_says_what_replaces_it(registry):
    """Nobody knows its answers; a person gave it the alias in MLflow."""
    registry.promote("bad")
    registry.versions["9"] = SimpleNamespace(version="9", tags={"model": "foreign"}, name="digits")
    registry.aliases["champion"] = "9"
    record = registry.promote("good")["3"]
    assert not record["promote"]
    assert record["reasons"] == [promotion.FOREIGN.format(9, 3)]
    assert registry.aliases == {"champion": "9", "previous": "1"}
    registry.promote("good")
    assert [event["event"] for event in events()] == ["decided", "promoted", "decided"]


def test_a_reason_in_another_encoding_than_utf_8_can_be_written_to_a_database(registry):
    typed = b"f\xfcr 7".decode(errors="surrogateescape")  # as Python reads an argument
    registry.promote("bad")
    before = state.promote_by_hand(registry.store, state.settle(registry.store), registry.versions["3"], typed)
    state.roll_back(registry.store, before, typed)
    assert [event["reasons"] for event in events()[1:]] == [["f?r 7"]] * 2


def test_the_champions_network_in_newer_wrapping_has_to_keep_the_limits(registry):
    registry.promote("bad")
    registry.versions["2"].tags["onnx_sha256"] = "bad"
    limited = POLICY.model_copy(update={"max_size_bytes": 1})
    record = promotion.promote(registry.store, [registry.versions["2"]], limited)["2"]
    assert (record["promote"], registry.aliases["champion"]) == (False, "1")
    assert "exceeds the limit of 1" in record["reasons"][0]


def test_the_champions_network_in_newer_wrapping_leaves_the_previous_champion(registry):
    registry.promote("bad")
    registry.promote("good")
    registry.versions["4"] = SimpleNamespace(version="4", name="digits", tags={**registry.versions["3"].tags})
    del registry.versions["4"].tags["promotion"]
    registry.promote("good")
    assert registry.aliases == {"champion": "4", "previous": "1"}


def test_an_experiment_decides_nothing_and_a_plain_run_does_later(registry):
    registry.promote("bad")
    versions = [registry.versions["1"], registry.versions["3"]]
    assert list(promotion.promote(registry.store, versions, POLICY, may_decide=False)) == ["1"]
    assert (registry.aliases, len(events())) == ({"champion": "1"}, 1)
    assert promotion.promote(registry.store, versions, POLICY)["3"]["promote"]


def test_a_store_of_an_older_version_of_the_project_keeps_its_champions(registry):
    """Such a store has only aliases; its journal doesn't name networks."""
    registry.aliases |= {"champion": "1", "previous": "3"}
    lines = [
        {"event": "decided", "version": "1", "content_key": "bad", "against": None, "promote": True, "reasons": []},
        {"event": "decided", "version": "3", "content_key": "good", "against": "1", "promote": True, "reasons": []},
        {"event": "rolled back", "version": "1", "against": "3"},
    ]
    for line in lines:
        journal.append_event({"name": "digits", **line})
    registry.promote("good")
    assert registry.aliases == {"champion": "1"}


def test_without_a_journal_an_older_store_keeps_its_aliases(registry):
    registry.aliases |= {"champion": "1", "previous": "2"}
    state.settle(registry.store)
    assert registry.aliases == {"champion": "1", "previous": "2"}
    roll_back(registry)
    assert registry.aliases == {"champion": "2"}


def test_the_state_fits_into_a_tag_of_a_database(registry):
    champions = tuple(Champion(str(number), f"{number:016x}") for number in range(10_000, 11_000))
    event = {"event": "decided", "time": journal.now(), "reasons": ["x" * 500], "policy": promotion.dump(POLICY)}
    state.write_state(registry.store, State(champions, tuple(one.network for one in champions)), event)
    assert len(registry.tags["champions"]) < 5000
