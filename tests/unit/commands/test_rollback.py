import pytest

from pipeline.cli import UserError
from pipeline.commands import rollback
from pipeline.paths import Workspace
from pipeline.tracking.journal import read_events


def test_it_restores_the_previous_champion_and_can_be_taken_back(registry, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rollback, "connect", lambda name: registry.store)
    workspace = Workspace(tmp_path)
    workspace.registry.mkdir()
    (workspace.registry / "registry.json").write_text('{"name": "digits"}')
    registry.promote("bad")
    with pytest.raises(UserError, match="nothing to take back"):
        rollback.main(workspace)
    registry.promote("good")
    rollback.main(workspace)
    assert registry.aliases == {"champion": "1", "previous": "3"}
    assert "version 1 (bad) again" in capsys.readouterr().out
    # What was rolled back doesn't come back by itself.
    registry.promote("bad", "good")
    assert registry.aliases["champion"] == "1"
    rollback.main(workspace)
    assert registry.aliases == {"champion": "3", "previous": "1"}
    assert [event["event"] for event in read_events()][-1] == "rolled back"
