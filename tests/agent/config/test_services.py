"""The password of the database comes from the environment."""

import pytest

from agent.config.services import with_password
from agent.store.connection import parse_url
from fbclip.errors import ConfigError

WORD = "p@ss/w:rd %20?#ü"


def test_a_password_from_the_environment_arrives_as_it_is(monkeypatch):
    monkeypatch.setenv("STORE_PASSWORD", WORD)
    url = parse_url(with_password("postgresql://agent:other@db.example:5433/name?sslmode=require", "STORE_PASSWORD"))
    assert (url.password, url.username, url.host, url.port, url.database) == (WORD, "agent", "db.example", 5433, "name")
    assert url.query == {"sslmode": "require"} and WORD not in str(url)


@pytest.mark.parametrize("value", [None, ""])
def test_a_password_that_is_not_there_is_said(monkeypatch, value):
    monkeypatch.delenv("STORE_PASSWORD", raising=False)
    if value is not None:
        monkeypatch.setenv("STORE_PASSWORD", value)
    with pytest.raises(ConfigError, match=r"store\.password_env: the environment variable STORE_PASSWORD is not set"):
        with_password("postgresql://agent@db.example/name", "STORE_PASSWORD")
