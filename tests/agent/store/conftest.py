"""A store on a real SQLite file, and a run that has begun."""

import pytest

from agent.store.access import open_writer
from agent.store.engine import Database
from agent.store.writer import Writer
from tests.factories.agent import a_draft


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/agent.db"


@pytest.fixture
def database(url):
    opened = open_writer(url)
    yield opened
    opened.close()


@pytest.fixture
def writer(database: Database) -> Writer:
    made = Writer(database)
    made.start_run("run-1", lambda step: a_draft(step.line))
    return made
