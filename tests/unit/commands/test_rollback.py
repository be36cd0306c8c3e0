from functools import partial
from types import SimpleNamespace

import pytest

from pipeline.cli import UserError
from pipeline.commands import champion, promote, rollback
from pipeline.paths import Workspace

NAMES = ("champion", "rollback", "promote")


@pytest.fixture
def workspace(registry, tmp_path, monkeypatch) -> Workspace:
    """The registry's own folder, after models were registered in it."""
    for command in (champion, promote, rollback):
        monkeypatch.setattr(command, "connect_existing", lambda name, *_: registry.store)
    workspace = Workspace(tmp_path)
    workspace.registry.mkdir()
    (workspace.registry / "registry.json").write_text('{"name": "digits"}')
    return workspace


def test_each_rollback_goes_a_step_back_until_there_is_none(registry, workspace, capsys):
    with pytest.raises(UserError, match="digits has no champion: `make run`"):
        rollback.main(workspace=workspace)
    for name in ("bad", "equal", "good"):
        rollback_to = dict(registry.aliases)
        promote.main({"bad": "1", "equal": "2", "good": "3"}[name], workspace=workspace)
    assert rollback_to == {"champion": "2", "previous": "1"}
    capsys.readouterr()
    rollback.main("reads sevens as ones", workspace)
    assert registry.aliases == {"champion": "2", "previous": "1"}
    assert capsys.readouterr().out == (
        "models:/digits@champion is version 2 (equal) again; version 3 (good) is rejected: "
        "`make promote VERSION=3` takes that back\n"
    )
    rollback.main(workspace=workspace)
    assert registry.aliases == {"champion": "1"}
    with pytest.raises(UserError, match="no champion before version 1: nothing to take back"):
        rollback.main(workspace=workspace)
    registry.promote("bad", "equal", "good")
    assert registry.aliases == {"champion": "1"}


def test_a_person_promotes_any_version(registry, workspace, capsys):
    registry.promote("good")
    promote.main("1", "", workspace)
    assert registry.aliases == {"champion": "1", "previous": "3"}
    assert capsys.readouterr().out == "models:/digits@champion is version 1 (bad); before it, version 3 was\n"


@pytest.mark.parametrize("number", ["9", "two"])
def test_a_version_that_there_is_not_is_reported_with_those_that_there_are(registry, workspace, number):
    with pytest.raises(UserError, match=rf"digits has no version '{number}' of this pipeline; versions: 1, 2, 3"):
        promote.main(number, workspace=workspace)


def test_a_version_of_another_tool_is_not_offered_for_a_promotion(registry, workspace, capsys):
    registry.promote("good")
    registry.versions["9"] = SimpleNamespace(version="9", tags={}, name="digits")
    with pytest.raises(UserError, match=r"no version '9' of this pipeline; versions: 1, 2, 3$"):
        promote.main("9", workspace=workspace)
    registry.aliases["champion"] = "9"
    rollback.main(workspace=workspace)
    assert capsys.readouterr().out.endswith(
        "version 9 (of another tool) is rejected: the alias champion, set in MLflow, takes that back\n"
    )


def test_without_a_version_those_that_there_are_are_named(registry, workspace):
    with pytest.raises(UserError, match=r"^name a version, .*`make promote VERSION=3`; versions of digits: 1, 2, 3$"):
        promote.main("", workspace=workspace)


def test_the_champion_is_not_promoted_again(registry, workspace):
    registry.promote("good")
    with pytest.raises(UserError, match="version 3 is the champion of digits already"):
        promote.main("3", workspace=workspace)


@pytest.mark.parametrize("command", [champion.main, rollback.main, partial(promote.main, "1")], ids=NAMES)
def test_before_the_first_run_make_run_is_named(command, workspace):
    (workspace.registry / "registry.json").unlink()
    with pytest.raises(UserError, match=r"registry.json is missing: run `make run`"):
        command(workspace=workspace)


def test_servers_get_the_champions_address_or_the_command_that_helps(registry, workspace, capsys):
    with pytest.raises(UserError, match=r"digits has no champion: `make run` .*`make promote VERSION=…`"):
        champion.main(workspace)
    registry.promote("good")
    champion.main(workspace)
    assert capsys.readouterr().out == "models:/digits@champion\n"
