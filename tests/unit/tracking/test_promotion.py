"""Who becomes champion: the decision on arrays, and what of it survives kills, rivals and second thoughts."""

import itertools
import json
import multiprocessing
import os
import shutil
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest

from pipeline.cli import UserError
from pipeline.config.params import Promotion
from pipeline.tracking import promotion
from pipeline.tracking.promotion import Candidate, decide

POLICY = Promotion(min_accuracy_gain=0.0, alpha=0.05, max_size_bytes=None, max_latency_ms=None)
LABELS = np.arange(1000) % 10


def candidate(wrong: range | np.ndarray = range(0), images: np.ndarray | None = None, **cost: float) -> Candidate:
    """A candidate that is wrong on the images of these numbers."""
    digit = LABELS.copy()
    digit[list(wrong)] = (digit[list(wrong)] + 1) % 10
    places = np.arange(1000) if images is None else images
    return Candidate(places, LABELS, digit, **{"size": 1000, **cost})


def test_the_first_is_promoted():
    assert decide(candidate(range(500)), None, POLICY).promote


@pytest.mark.parametrize(
    ("wrong", "promote", "reason"),
    [
        (range(0, 100), False, "not better by the margin"),
        (range(0, 50), False, "not better by the margin"),
        (range(0, 49), True, "worse at no digit"),
        (range(0, 10), True, "worse at no digit"),
    ],
)
def test_a_worse_an_equal_and_a_better_candidate(wrong, promote, reason):
    decision = decide(candidate(wrong), candidate(range(0, 50)), POLICY)
    assert decision.promote is promote
    assert reason in decision.reasons[0]


def test_a_better_candidate_that_fails_one_digit_stays_out():
    threes = np.flatnonzero(LABELS == 3)[:12]
    champion = candidate(np.flatnonzero(LABELS != 3)[:50])
    decision = decide(candidate(threes), champion, POLICY)
    assert not decision.promote
    assert decision.reasons == ["worse at digit 3: 0.8800 against 1.0000 (p = 0.00049)"]
    # A few more mistakes at a digit are chance.
    assert decide(candidate(threes[:3]), champion, POLICY).promote


def test_margin_and_limits_are_kept():
    better, champion = candidate(range(40), size=2000, latency=2.0), candidate(range(50))
    assert decide(better, champion, POLICY.model_copy(update={"min_accuracy_gain": 0.01})).promote
    assert not decide(better, champion, POLICY.model_copy(update={"min_accuracy_gain": 0.02})).promote
    for limit in ({"max_size_bytes": 1999}, {"max_latency_ms": 1.9}):
        assert not decide(better, champion, POLICY.model_copy(update=limit)).promote
        assert not decide(better, None, POLICY.model_copy(update=limit)).promote
    assert decide(better, champion, POLICY.model_copy(update={"max_size_bytes": 2000, "max_latency_ms": 2.0})).promote


def test_candidates_that_saw_other_images_are_compared_as_independent():
    other = np.arange(1000) + 1000
    assert decide(candidate(range(10)), candidate(range(50), images=other), POLICY).promote
    threes = np.flatnonzero(LABELS == 3)[:30]
    assert not decide(candidate(threes), candidate(np.flatnonzero(LABELS != 3)[:50], images=other), POLICY).promote


class Registry:
    """An MLflow client's registry, in memory; `fuse` calls from now on, it kills the process, as it were."""

    def __init__(self, **candidates: Candidate):
        self.aliases: dict[str, str] = {}
        self.versions = {}
        self.candidates = candidates
        self.fuse = -1
        self.served: list[str] = []
        for number, name in enumerate(candidates, start=1):
            accuracy = candidates[name].correct.mean()
            tags = {"val_accuracy": str(accuracy), "content_key": name, "model": name, "onnx_sha256": name}
            self.versions[str(number)] = SimpleNamespace(version=str(number), tags=tags)

    def burn(self) -> None:
        self.served.append(self.aliases.get("champion"))
        if self.fuse == 0:
            raise KeyboardInterrupt
        self.fuse -= 1

    def get_registered_model(self, name: str):
        return SimpleNamespace(aliases=dict(self.aliases))

    def get_model_version(self, name: str, number: str):
        return self.versions[number]

    def set_registered_model_alias(self, name: str, alias: str, number: str) -> None:
        self.burn()
        self.aliases[alias] = number

    def set_model_version_tag(self, name: str, number: str, key: str, value: str) -> None:
        self.burn()
        self.versions[number].tags[key] = value

    def promote(self, *names: str) -> dict[str, dict]:
        chosen = [version for version in self.versions.values() if version.tags["model"] in names]
        return promotion.promote(self, "digits", chosen, POLICY)


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A registry with a bad, an equally bad and a good version; the journal is in a folder of its own."""
    made = Registry(bad=candidate(range(50)), equal=candidate(range(50, 100)), good=candidate(range(5)))
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(promotion, "load_candidate", lambda client, v, policy: made.candidates[v.tags["model"]])
    return made


def test_worse_equal_and_better_stay_stay_and_move_each_with_its_reason(registry):
    registry.promote("bad")
    assert registry.aliases == {"champion": "1"}
    assert not registry.promote("equal")["2"]["promote"]
    assert registry.aliases == {"champion": "1"}
    assert registry.promote("good")["3"]["promote"]
    assert registry.aliases == {"champion": "3", "previous": "1"}
    recorded = [(event["version"], event["against"], event["promote"]) for event in promotion.journal()]
    assert recorded == [("1", None, True), ("2", "1", False), ("3", "1", True)]
    assert all(event["reasons"] and event["time"] for event in promotion.journal())
    for version in registry.versions.values():
        assert json.loads(version.tags["promotion"])["reasons"]


def test_of_many_the_best_is_promoted_and_the_rest_are_refused(registry):
    records = registry.promote("bad", "equal", "good")
    assert registry.aliases == {"champion": "3"}
    assert [number for number, record in records.items() if record["promote"]] == ["3"]


def test_deciding_again_changes_and_records_nothing(registry):
    registry.promote("bad")
    registry.promote("equal", "good", "bad")
    aliases, events = dict(registry.aliases), promotion.journal()
    registry.promote("bad", "equal", "good")
    before_last = len(promotion.journal())
    registry.promote("bad", "equal", "good")
    assert registry.aliases == aliases
    # The others are judged once against the new champion, and then no more.
    assert len(events) <= before_last == len(promotion.journal())


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
    decided = [event for event in promotion.journal() if event["version"] == "3"]
    assert [event["promote"] for event in decided] == [True]
    assert json.loads(registry.versions["3"].tags["promotion"])["against"] == "1"
    assert None not in registry.served[2:]  # from the first champion on, there is always one


def test_two_promoters_at_once_take_turns(registry):
    registry.promote("bad")
    inside, most = [], []

    def one(name: str) -> None:
        with promotion.lock():
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


def test_rollback_restores_the_previous_champion_and_can_be_taken_back(registry, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(promotion.tracking, "connect", lambda name: (registry, "1"))
    monkeypatch.chdir(tmp_path)
    Path("registry").mkdir()
    Path("registry/registry.json").write_text('{"name": "digits"}')
    registry.promote("bad")
    with pytest.raises(UserError, match="nothing to take back"):
        promotion.rollback()
    registry.promote("good")
    promotion.rollback()
    assert registry.aliases == {"champion": "1", "previous": "3"}
    assert "version 1 (bad) again" in capsys.readouterr().out
    # What was rolled back doesn't come back by itself.
    registry.promote("bad", "good")
    assert registry.aliases["champion"] == "1"
    promotion.rollback()
    assert registry.aliases == {"champion": "3", "previous": "1"}
    assert [event["event"] for event in promotion.journal()][-1] == "rolled back"


def promote_and_die(uri: str, root: str, numbers: list[int], step: int | None) -> None:
    """In a process of its own: promote versions of a real store, and be killed before write number `step`."""
    os.environ["DVC_ROOT"], os.environ["MLFLOW_TRACKING_URI"] = root, uri
    client, _ = promotion.tracking.connect("digits")
    writes = itertools.count()

    def watched(write):
        def attempt(*arguments):
            if next(writes) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return write(*arguments)

        return attempt

    for name in ("set_registered_model_alias", "set_model_version_tag"):
        setattr(client, name, watched(getattr(client, name)))
    promotion.append_to_journal = watched(promotion.append_to_journal)
    with promotion.lock():
        versions = [client.get_model_version("digits", number) for number in numbers]
        promotion.promote(client, "digits", versions, POLICY)


def test_a_promoter_killed_by_the_system_leaves_a_champion_that_loads(project, tmp_path):
    project.repro()
    models = json.loads((project.folder / "registry/registry.json").read_text())["models"]
    worse, better = (models[name]["version"] for name in ("dense_10", "tiny_cnn"))
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    shutil.copy(project.folder / "mlflow.db", tmp_path)  # the models stay where they are, and are only read
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(uri)
    journal = tmp_path / "promotions.jsonl"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow.pyfunc", "pandas", "scipy.stats"])

    def promote(step: int | None) -> int:
        promoter = context.Process(target=promote_and_die, args=(uri, str(tmp_path), [worse, better], step))
        promoter.start()
        promoter.join(120)
        assert mlflow.pyfunc.load_model("models:/digits@champion").predict(np.zeros((1, 28, 28), np.float32))
        return promoter.exitcode

    # Two aliases, then journal and tag of the one that wins; journal and tag of the one that doesn't.
    for step in range(6):
        for number in (worse, better):
            client.delete_model_version_tag("digits", number, "promotion")
        client.delete_registered_model_alias("digits", "previous")
        client.set_registered_model_alias("digits", "champion", worse)
        journal.unlink(missing_ok=True)
        assert promote(step) == -signal.SIGKILL
        assert promote(None) == 0
        assert promotion.current_aliases(client, "digits") == {"champion": str(better), "previous": str(worse)}
        decided = [json.loads(line)["version"] for line in journal.read_text().splitlines()]
        assert sorted(decided) == sorted([str(worse), str(better)])
