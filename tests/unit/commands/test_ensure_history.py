import pytest

from pipeline.cli import UserError
from pipeline.commands import ensure_history, rebuild
from pipeline.paths import Workspace
from pipeline.tracking.journal import append_event
from tests.helpers.params import PARAMS


@pytest.fixture
def clone(tmp_path, monkeypatch) -> Workspace:
    """A clone that has a journal but no store."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    (tmp_path / "params.yaml").write_text(PARAMS)
    decision = {"promote": True, "reasons": ["it is champion"]}
    append_event(
        {"event": "decided", "store": "mlflow.db", "name": "mnist", "version": "1", "against": None, **decision}
    )
    return Workspace(tmp_path)


@pytest.fixture
def rebuilt(monkeypatch) -> list[str]:
    """The list of what was rebuilt."""
    rebuilt: list[str] = []
    monkeypatch.setattr(rebuild, "main", lambda: rebuilt.append("all"))
    return rebuilt


def test_a_clone_with_a_journal_gets_its_history_back(clone, rebuilt):
    ensure_history.main(clone)
    assert rebuilt == ["all"]


@pytest.mark.parametrize("what", ["a store", "a server", "no journal", "a journal of other data"])
def test_nothing_is_rebuilt_where_there_is(clone, rebuilt, monkeypatch, what):
    if what == "a store":
        (clone.root / "mlflow.db").touch()
    elif what == "a server":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:1")
    elif what == "no journal":
        (clone.root / "promotions.jsonl").unlink()
    else:
        (clone.root / "params.yaml").write_text(PARAMS.replace("dataset: mnist", "dataset: digits"))
    ensure_history.main(clone)
    assert rebuilt == []


def test_without_anything_pulled_the_run_goes_on(clone, monkeypatch):
    def refuse() -> None:
        raise UserError("neither the workspace nor DVC's cache has a trained and evaluated model")

    monkeypatch.setattr(rebuild, "main", refuse)
    ensure_history.main(clone)
