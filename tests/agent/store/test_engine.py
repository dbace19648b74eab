"""Opening the store on real SQLite files."""

import sqlite3
import traceback

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from agent.errors import StoreError
from agent.store import connection
from agent.store.access import open_reader, open_writer
from agent.store.reader import Reader
from fbclip.decision import Verdict
from tests.factories.agent import a_draft, an_inspection


def test_pragmas(database):
    with database.transaction() as connection:
        values = {
            name: connection.execute(text(f"pragma {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "auto_vacuum")
        }
    assert values == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
        "auto_vacuum": 2,
    }


@pytest.mark.parametrize("opening", [open_writer, open_reader])
def test_a_newer_database_is_refused_and_left_alone(url, tmp_path, opening):
    open_writer(url).close()
    with sqlite3.connect(tmp_path / "agent.db") as raw:
        raw.execute("update meta set value = '99' where key = 'schema_version'")
    raw.close()
    with pytest.raises(StoreError, match="schema 99 is newer"):
        opening(url)
    assert not list(tmp_path.glob("*.corrupt-*"))


def test_the_reader_reads_while_writing_and_cannot_write(url, database, writer):
    reader = open_reader(url)
    with database.transaction() as connection:
        connection.execute(text("delete from meta where key = 'nothing'"))
        assert Reader(reader).totals("belt")[Verdict.OK] == 0
    writer.record(an_inspection(), (), [a_draft()])
    assert Reader(reader).totals("belt")[Verdict.OK] == 1
    status = Reader(reader).status()
    assert (status.run, status.unsent, status.stream_id) == ("run-1", 1, writer.stream_id)
    with pytest.raises(StoreError, match="readonly"), reader.transaction() as connection:
        connection.execute(text("delete from meta"))
    reader.close()


def test_a_reader_after_a_clean_end_and_without_a_database(url, tmp_path):
    with pytest.raises(StoreError, match="no such database"):
        open_reader(url)
    open_writer(url).close()
    open_reader(url).close()


def test_urls_without_secrets_in_errors():
    with pytest.raises(StoreError) as caught:
        open_writer("postgresql+nosuch://user:topsecret@host/name")
    assert "topsecret" not in str(caught.value)
    with pytest.raises(StoreError) as caught:
        open_reader("://user:topsecret")
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["postgresql://user:topsecret@host/name", "postgresql://host/name?user=u&password=topsecret"]
)
def test_a_cause_that_quotes_the_password_is_not_kept(url, monkeypatch):
    def refuse(*_, **__):
        raise OperationalError("connect", None, Exception("cannot use user:topsecret@host"))

    monkeypatch.setattr(connection, "create_engine", refuse)
    with pytest.raises(StoreError) as caught:
        open_writer(url)
    assert "topsecret" not in "".join(traceback.format_exception(caught.value))


def test_a_harmless_cause_is_kept_for_the_log(url):
    database = open_writer(url)
    with pytest.raises(StoreError) as caught, database.transaction() as connection:
        connection.execute(text("select nonsense"))
    database.close()
    assert isinstance(caught.value.__cause__, OperationalError)
