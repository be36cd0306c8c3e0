"""The registry under random commands from two checkouts on two stores, each of which may be killed at any write.

`REGISTRY_EXAMPLES=60 python -m pytest -s tests/unit/tracking/test_registry_machine.py` runs 2,000 steps and more.
"""

import itertools
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from mlflow import MlflowClient

from pipeline import register
from pipeline.commands import compare, rebuild
from pipeline.config.promotion import Promotion
from pipeline.files import sha256_of
from pipeline.paths import Workspace
from pipeline.tracking import journal, promotion, registry, runs, trained_model
from pipeline.tracking.champions import State, replay
from pipeline.tracking.location import store_label
from pipeline.tracking.lock import lock_registry
from pipeline.tracking.store import Store, connect
from tests.helpers.candidates import candidate
from tests.helpers.trained import write_trained_model

IS_LONG = "REGISTRY_EXAMPLES" in os.environ
EXAMPLES, STEPS = int(os.environ.get("REGISTRY_EXAMPLES", "5")), 50 if IS_LONG else 25
NETWORKS = ("worst", "worse", "better", "best")
# The networks are so different that every gate tells them apart.
CANDIDATES = {name: candidate(range(wrong)) for name, wrong in zip(NETWORKS, (600, 400, 200, 0), strict=True)}
# Where a command runs, and on which store.
PLACES = (("a", "own"), ("a", "shared"), ("b", "shared"))
WRITES = (
    "create_run", "log_batch", "log_inputs", "log_artifact", "log_artifacts", "set_terminated", "create_logged_model",
    "finalize_logged_model", "create_registered_model", "_create_model_version", "delete_model_version",
    "set_registered_model_alias", "delete_registered_model_alias", "set_registered_model_tag", "set_model_version_tag",
)  # fmt: skip


class Killed(BaseException):
    """Ends a command at one of its writes."""


class Fuse:
    """Counts down the writes of a command; when the count has run out, a write raises an error instead."""

    left: int | None = None

    def burns(self) -> bool:
        if self.left is None:
            return False
        self.left -= 1
        return self.left < 0


FUSE = Fuse()
EXAMPLE, STEP = itertools.count(), itertools.count()


@pytest.fixture
def world(tmp_path, monkeypatch, empty_database) -> Path:
    """A folder for projects and stores; every write may be the one at which a command is killed."""

    def fused(write):
        def attempt(*arguments, **named):
            if FUSE.burns():
                raise Killed
            return write(*arguments, **named)

        return attempt

    for name in WRITES:
        monkeypatch.setattr(MlflowClient, name, fused(getattr(MlflowClient, name)))

    append = journal.append_event

    def append_event(event: dict) -> None:
        if FUSE.burns():
            with journal.journal_path().open("a") as file:
                file.write(json.dumps(event)[: len(event["time"])])  # writes a line that is cut off
            raise Killed
        append(event)

    def log_model(run_id: str, model: trained_model.TrainedModel) -> None:
        client = MlflowClient()
        made = client.create_logged_model(client.get_run(run_id).info.experiment_id, "model", source_run_id=run_id)
        Path(made.artifact_location.removeprefix("file://")).mkdir(parents=True)
        (Path(made.artifact_location.removeprefix("file://")) / "MLmodel").write_text(model.key)
        client.finalize_logged_model(made.model_id, "READY")

    monkeypatch.setattr(registry, "append_event", append_event)
    monkeypatch.setattr(promotion, "append_event", append_event)
    monkeypatch.setattr(runs, "log_model", log_model)
    monkeypatch.setattr(runs, "log_entries", lambda *arguments: None)  # metrics and parameters take most of the time
    monkeypatch.setattr(trained_model, "pin_serving_packages", lambda: [])
    monkeypatch.setattr(promotion, "load_candidate", lambda version, policy: CANDIDATES[version.tags["model"]])
    shutil.copy(empty_database, tmp_path / "empty.db")
    for wrong, name in enumerate(reversed(NETWORKS)):
        write_trained_model(Workspace(tmp_path), name, wrong, started=f"2026-01-0{wrong + 1}T03:04:00+00:00")
    return tmp_path


@pytest.mark.slow
def test_the_registry_keeps_its_promises_whatever_happens(world, monkeypatch):
    class Machine(RegistryMachine):
        folder, patch = world, monkeypatch

    chosen = settings(
        max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, database=None, derandomize=not IS_LONG,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate, *([Phase.shrink] if IS_LONG else [])],
    )  # fmt: skip
    run_state_machine_as_test(Machine, settings=chosen)
    print(f"{next(STEP)} steps in {next(EXAMPLE)} examples")


class RegistryMachine(RuleBasedStateMachine):
    """Commands on the registries, and a model of their expected results, by network and independent of versions."""

    folder: Path
    patch: pytest.MonkeyPatch

    @initialize()
    def start(self) -> None:
        self.root = self.folder / f"example-{next(EXAMPLE)}"
        for name in ("a", "b", "shared"):
            (self.root / name).mkdir(parents=True)
            shutil.copy(self.folder / "empty.db", self.root / name / "mlflow.db")
        self.place = PLACES[0]
        self.networks = {name: sha256_of(self.folder / "models" / name / "model.onnx")[:16] for name in NETWORKS}
        # What each store should hold: champions by network, oldest first, and rejected networks.
        self.champions: dict[str, list[str]] = {"own": [], "shared": []}
        self.rejected: dict[str, set[str]] = {"own": set(), "shared": set()}

    def enter(self, place: tuple[str, str], wrapping: int = 0) -> Store:
        """Switch to a checkout, with one of two versions of the serving code, and to a store."""
        self.place = place
        checkout, kind = place
        self.patch.setenv("DVC_ROOT", str(self.root / checkout))
        self.patch.setenv("MLFLOW_TRACKING_URI", "" if kind == "own" else f"sqlite:///{self.root}/shared/mlflow.db")
        code = self.root / f"serving{wrapping}.py"
        code.write_text(str(wrapping))
        self.patch.setattr(trained_model, "SERVING_CODE", code)
        return connect("digits")

    @contextmanager
    def command(self, kill_at: int | None) -> Iterator[None]:
        """Hold the lock as each command does, and be killed at one of the writes."""
        FUSE.left = kill_at
        try:
            with lock_registry():
                yield
        except Killed:
            FUSE.left = None
            self.note_what_the_next_command_finds()
        finally:
            FUSE.left = None

    def note_what_the_next_command_finds(self) -> None:
        """After a kill, a promotion or a rollback must have happened completely or not at all."""
        store, kind = connect("digits"), self.place[1]
        with lock_registry():
            found = champions_of(store.search_versions(), registry.settle(store))
        if found == self.champions[kind][:-1] and found:
            self.rejected[kind].add(self.champions[kind].pop())
        elif found != self.champions[kind]:
            self.push(found[-1])

    def push(self, name: str) -> None:
        kind = self.place[1]
        self.champions[kind] = [one for one in self.champions[kind] if one != name] + [name]
        self.rejected[kind].discard(name)

    @rule(
        place=st.sampled_from(PLACES),
        chosen=st.sets(st.sampled_from(NETWORKS), min_size=1, max_size=3),
        wrapping=st.integers(0, 1),
        kill_at=st.none() | st.integers(0, 60),
        is_experiment=st.sampled_from([False, False, False, True]),
    )
    def register(self, place, chosen, wrapping, kill_at, is_experiment) -> None:
        store = self.enter(place, wrapping)
        with self.command(kill_at), self.patch.context() as patch:
            if is_experiment:
                patch.setenv("DVC_EXP_NAME", "a-name")
            register.register(store, read_models(self.folder, chosen), Promotion())
            *former, champion = ["", *self.champions[place[1]]]
            allowed = [name for name in NETWORKS if name in chosen - self.rejected[place[1]] - set(former)]
            if allowed and not is_experiment and rank(allowed[-1]) >= rank(champion):
                self.push(allowed[-1])

    @rule(place=st.sampled_from(PLACES), kill_at=st.none() | st.integers(0, 8))
    def roll_back(self, place, kill_at) -> None:
        store = self.enter(place)
        with self.command(kill_at):
            state = registry.settle(store)
            if state.previous:
                registry.roll_back(store, state, "a reason")
                self.rejected[place[1]].add(self.champions[place[1]].pop())

    @rule(place=st.sampled_from(PLACES), which=st.integers(0, 20), kill_at=st.none() | st.integers(0, 8))
    def promote_by_hand(self, place, which, kill_at) -> None:
        store = self.enter(place)
        with self.command(kill_at):
            state = registry.settle(store)
            for version in choose(store, which):
                registry.promote_by_hand(store, state, version, "a reason")
                self.push(version.tags["model"])

    @rule(place=st.sampled_from(PLACES), which=st.integers(0, 20))
    def move_the_alias_in_mlflow(self, place, which) -> None:
        store = self.enter(place)
        for version in choose(store, which):
            store.set_alias(registry.CHAMPION, str(version.version))
            self.push(version.tags["model"])

    @rule(place=st.sampled_from(PLACES), wrapping=st.integers(0, 1), kill_at=st.none() | st.integers(0, 60))
    def rebuild(self, place, wrapping, kill_at) -> None:
        """A rebuild that was killed is run again, because other commands refuse a store that is half filled."""
        store = self.enter(place, wrapping)
        if place == ("a", "shared") and not store.search_versions():  # it begins like the own store
            for of_stores in (self.champions, self.rejected):
                of_stores["shared"] = of_stores["own"].copy()
        FUSE.left = kill_at
        for _ in range(2):
            with suppress(Killed), lock_registry():
                rebuild.rebuild(connect("digits"), {model.key: model for model in read_models(self.folder, NETWORKS)})
            FUSE.left = None

    @rule(wrapping=st.integers(0, 1), kill_at=st.none() | st.integers(0, 60))
    def lose_the_own_store_and_rebuild_it(self, wrapping, kill_at) -> None:
        """The serving code may have changed since."""
        self.enter(PLACES[0], wrapping)
        # Through SQLite, because MLflow keeps the file open.
        empty, lost = (sqlite3.connect(folder / "mlflow.db") for folder in (self.root / "b", self.root / "a"))
        with closing(empty), closing(lost):
            empty.backup(lost)
        shutil.rmtree(self.root / "a" / "mlruns", ignore_errors=True)
        self.rebuild(PLACES[0], wrapping, kill_at)

    @rule(checkout=st.sampled_from(["a", "b"]), text=st.sampled_from(['{"event": "deci', "<<<<<<< HEAD\n", "\n"]))
    def damage_the_journal(self, checkout, text) -> None:
        with (self.root / checkout / "promotions.jsonl").open("a") as file:
            file.write(text)

    @invariant()
    def all_that_is_said_of_the_registry_agrees(self) -> None:
        next(STEP)
        store, kind = self.enter(self.place), self.place[1]
        with lock_registry():
            state = registry.settle(store)
        model, versions = store.registered_model(), store.search_versions()
        assert champions_of(versions, state) == self.champions[kind]
        assert set(state.rejected) == {self.networks[name] for name in self.rejected[kind]}
        assert not {champion.network for champion in state.champions} & set(state.rejected)
        keys = [version.tags["content_key"] for version in versions]
        assert len(keys) == len(set(keys))
        if model is None:
            return
        numbers = {"previous": state.previous, "champion": state.champion}
        aliases = {alias: str(number) for alias, number in model.aliases.items()}
        assert aliases == {alias: one.version for alias, one in numbers.items() if one}
        assert json.loads(model.tags[registry.STATE_TAG])["event"] is None
        found = {str(version.version): version for version in versions}
        replayed = replay(self.journalled(), lambda event: registry.find_content(event, found))
        assert champions_of(versions, replayed) == self.champions[kind]
        assert set(replayed.rejected) == set(state.rejected)
        if state.champion:
            name, text = compare.find_champion("digits", Workspace(self.folder))
            assert (name, f"(version {state.champion.version})" in text) == (self.champions[kind][-1], True)

    def journalled(self) -> list[dict]:
        """The events of the current store, from the journals of both checkouts."""
        events = []
        for checkout in ("a", "b"):
            with self.patch.context() as patch:
                patch.setenv("DVC_ROOT", str(self.root / checkout))
                events += journal.read_events(store_label(), "digits") if (checkout, self.place[1]) in PLACES else []
        return sorted(events, key=lambda event: event["time"])


def choose(store: Store, which: int) -> list:
    """One of the versions, if there is one."""
    versions = sorted(store.search_versions(), key=lambda version: int(version.version))
    return [versions[which % len(versions)]] if versions else []


def rank(name: str) -> int:
    """How good a network is; -1 if there is none."""
    return NETWORKS.index(name) if name else -1


def champions_of(versions: list, state: State) -> list[str]:
    """The names of a state's champions."""
    names = {str(version.version): version.tags["model"] for version in versions}
    return [names[champion.version] for champion in state.champions]


def read_models(folder: Path, names) -> list[trained_model.TrainedModel]:
    return [trained_model.read(name, Workspace(folder)) for name in NETWORKS if name in names]
