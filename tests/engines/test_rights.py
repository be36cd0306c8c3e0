"""MLflow's users and rights: a user with read access only can't register, promote or roll back, and gets a message."""

import pytest

from pipeline import register
from pipeline.cli import UserError
from pipeline.commands import champion, promote, rollback, ui
from pipeline.tracking.store import connect_existing
from tests.helpers.team import ask, mlflow_server, store_address

ADMIN, MEMBER = ("admin", "of-the-admin-alone"), ("member", "of-the-member-alone")
# The last line caches the result of a password check, which is slow on purpose, for that many seconds.
SETTINGS = (
    "[mlflow]\ndefault_permission = READ\ndatabase_uri = {}\nadmin_username = admin\nauth_cache_ttl_seconds = 60\n"
)


@pytest.fixture
def address(mlflow_team, tmp_path):
    """A server with user authentication, on the team's database; its address has a place for a user and a password."""
    ask(mlflow_team.database, "CREATE DATABASE rights")
    users = store_address(mlflow_team.database).replace("/postgres", "/rights")
    (tmp_path / "auth.ini").write_text(SETTINGS.format(users))
    variables = {"MLFLOW_AUTH_CONFIG_PATH": str(tmp_path / "auth.ini"), "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1]}
    variables |= {"MLFLOW_FLASK_SERVER_SECRET_KEY": "of-the-server-alone"} | mlflow_team.storage
    options = ("--app-name", "basic-auth", "--artifacts-destination", "s3://mlflow/artifacts")
    with mlflow_server(tmp_path, mlflow_team.store, *options, **variables) as server:
        yield f"http://{{}}:{{}}@127.0.0.1:{server.port}"


def test_who_may_only_read_changes_nothing(address, mlflow_team, make_checkout, monkeypatch, capfd):
    from mlflow.server.auth.client import AuthServiceClient

    def become(user: str, password: str) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address.format(user, password))

    monkeypatch.setenv("REGISTRY_LOCK", mlflow_team.database)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN[1])
    AuthServiceClient(address.partition("//")[0] + "//" + address.partition("@")[2]).create_user(*MEMBER)
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name)
    checkout = make_checkout("a", "guarded", "dense_10", "cnn_fast")
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("DVC_ROOT", str(checkout))
    become(*ADMIN)
    register.main()
    before = connect_existing("guarded").aliases()
    assert before == {"champion": "2"}
    become(*MEMBER)
    champion.main()
    ui.main()
    assert f"/#/experiments/{connect_existing('guarded').experiment_id}/runs?" in capfd.readouterr().out
    register.main()  # there is nothing to change
    for command in (lambda: promote.main("1"), rollback.main):
        with pytest.raises(UserError, match=r"PERMISSION_DENIED|403|no champion before"):
            command()
    assert connect_existing("guarded").aliases() == before
    monkeypatch.chdir(make_checkout("b", "guarded", "cnn_2m"))
    with pytest.raises(UserError, match=r"PERMISSION_DENIED|403"):
        register.main()
    become(MEMBER[0], "wrong-and-secret")
    with pytest.raises(UserError, match=r"401|authenticated") as error:
        register.main()
    said = "".join([str(error.value), *capfd.readouterr()])
    assert [secret for secret in (ADMIN[1], MEMBER[1], "wrong-and-secret") if secret in said] == []
