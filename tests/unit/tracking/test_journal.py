import json
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.tracking.journal import append_event, now, read_events


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def event(version: str, name: str = "digits", store: str = "mlflow.db") -> dict:
    decision = {"promote": True, "reasons": ["it is champion"]}
    return {"event": "decided", "store": store, "name": name, "version": version, "against": None, **decision}


def versions(store: str = "mlflow.db", name: str = "digits") -> list[str]:
    return [event["version"] for event in read_events(store, name)]


def test_events_come_back_in_their_order(root):
    assert versions() == []
    for number in ("2", "1", "1"):
        append_event(event(number))
    assert read_events("mlflow.db", "digits") == [event(number) for number in ("2", "1", "1")]
    assert len((root / "promotions.jsonl").read_text().splitlines()) == 3


def test_a_journal_has_the_events_of_each_store_and_model_apart(root):
    for one in (event("1"), event("2", store="http://server"), event("3", name="mnist")):
        append_event(one)
    assert (versions(), versions("http://server"), versions(name="mnist")) == (["1"], ["2"], ["3"])


def test_events_that_name_no_store_are_of_the_projects_own():
    """Older versions of the project had no other store."""
    old = event("1")
    del old["store"]
    append_event(old)
    assert (versions(), versions("http://server")) == (["1"], [])


def test_the_time_is_now():
    assert abs(datetime.now(UTC) - datetime.fromisoformat(now())) < timedelta(minutes=1)


def test_an_event_has_one_line_of_json(root):
    append_event(event("1") | {"reasons": ["first\nline"]})
    (line,) = (root / "promotions.jsonl").read_text().splitlines()
    assert json.loads(line)["reasons"] == ["first\nline"]


def test_an_event_is_on_the_disk_when_the_call_returns(root, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", lambda number: synced.append((root / "promotions.jsonl").read_text()))
    append_event(event("1"))
    assert synced == [(root / "promotions.jsonl").read_text()]


def test_a_last_line_that_was_cut_off_is_reported_and_kept_apart(root, capsys):
    append_event(event("1"))
    path = root / "promotions.jsonl"
    path.write_text(path.read_text() + '{"event": "deci')
    assert versions() == ["1"]
    assert "line 2, is no event" in capsys.readouterr().err
    append_event(event("2"))
    assert 'was cut off: \'{"event": "deci\'' in capsys.readouterr().err
    assert versions() == ["1", "2"]
    assert capsys.readouterr().err == ""  # it is reported once
    assert json.loads(path.read_text().splitlines()[1])["text"] == '{"event": "deci'


def test_a_last_line_that_lacks_its_end_alone_counts(root, capsys):
    append_event(event("1"))
    path = root / "promotions.jsonl"
    path.write_text(path.read_text().rstrip("\n"))
    append_event(event("2"))
    assert (versions(), capsys.readouterr().err) == (["1", "2"], "")


DECIDED = '{"event": "decided", "name": "digits", "version": "1", "against": null'


@pytest.mark.parametrize(
    "line",
    [
        "<<<<<<< HEAD",
        "3",
        "[]",
        "{}",
        '{"event": "decided", "name": "digits"}',
        f"{DECIDED}}}",
        f'{DECIDED}, "promote": true}}',
        DECIDED.replace('"1"', '"one"') + ', "promote": true, "reasons": []}',
        "\udcff",
    ],
)
def test_a_damaged_line_is_named_and_left_out(root, capsys, line):
    append_event(event("1"))
    path = root / "promotions.jsonl"
    path.write_bytes(path.read_bytes() + line.encode(errors="surrogateescape") + b"\n\n")
    append_event(event("2"))
    assert versions() == ["1", "2"]
    assert f"{path}, line 2, is no event and is left out" in capsys.readouterr().err
