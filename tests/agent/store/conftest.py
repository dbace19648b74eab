"""A store on a real SQLite file, or where the test asks for both on a real server too, and a run that has begun."""

import pytest

from agent.store.access import open_writer
from agent.store.engine import Database
from agent.store.writer import Writer
from tests.factories.agent import a_draft
from tests.factories.postgres import postgres

__all__ = ["postgres"]


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/agent.db"


@pytest.fixture
def database(request, url):
    server = getattr(request, "param", "sqlite") == "postgresql"
    opened = open_writer(request.getfixturevalue("postgres").new_database() if server else url)
    yield opened
    opened.close()


@pytest.fixture
def writer(database: Database) -> Writer:
    made = Writer(database)
    made.start_run("run-1", lambda step: a_draft(step.line))
    return made
