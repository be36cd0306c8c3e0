import pytest
import sqlalchemy

from pipeline.cli import UserError
from pipeline.tracking.postgresql import make_engine, parse_address


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"])
def test_an_address_leaves_the_driver_to_the_project(scheme):
    url = parse_address("SETTING", f"{scheme}://searcher:a%40b@host/sweeps")
    assert (url.drivername, url.password, url.host) == ("postgresql+psycopg", "a@b", "host")


@pytest.mark.parametrize("address", ["sqlite:///secret.db", "secret", "postgresql://searcher:secret@host:port/sweeps"])
def test_another_address_is_refused_and_not_shown(address):
    with pytest.raises(UserError, match=r"^SETTING is no address of a PostgreSQL database: write") as refused:
        parse_address("SETTING", address)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("password", ["other@secret", "secret/other@", "secret%other"])
def test_a_password_that_would_be_cut_is_refused_and_not_shown(password):
    with pytest.raises(UserError, match="write @ as %40") as refused:
        parse_address("SETTING", f"postgresql://searcher:{password}@host/sweeps")
    assert "secret" not in str(refused.value)


def test_a_missing_driver_is_named_with_what_installs_it(monkeypatch):
    def fail(*arguments, **options):
        raise ModuleNotFoundError("No module named 'psycopg'")

    monkeypatch.setattr(sqlalchemy, "create_engine", fail)
    with pytest.raises(UserError, match=r"SETTING needs the package psycopg .*: run `make team`"):
        make_engine("SETTING", parse_address("SETTING", "postgresql://host/sweeps"))
