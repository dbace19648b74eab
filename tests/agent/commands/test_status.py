"""`agent status` on a real store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from agent.commands.options import StatusRequest
from agent.commands.status import status_command
from agent.store.access import open_writer
from agent.store.outbox import Outbox, put
from agent.store.writer import Writer
from tests.factories.agent import a_draft


@pytest.fixture
def config(tmp_path) -> Path:
    path = tmp_path / "agent.yaml"
    lines = [{"name": "belt", "source": {"type": "folder", "path": "in"}, "profile": "p.yaml", "mode": "live"}]
    path.write_text(yaml.safe_dump({"agent": {"name": "demo", "data_dir": "var"}, "lines": lines}), encoding="utf-8")
    (tmp_path / "var").mkdir()
    database = open_writer(f"sqlite:///{tmp_path}/var/agent.db", "demo")
    Writer(database).start_run("run-1", lambda step: None)
    with database.transaction() as connection:
        put(connection, database.agent, "run-1", [a_draft() for _ in range(3)])
    Outbox(database).park([1, 2], "refused: Not authorized", held=False)
    database.close()
    return path


def test_parked_messages_are_told_apart_from_waiting_ones(config, capsys):
    status_command(StatusRequest(config))
    out = capsys.readouterr().out
    assert "messages waiting 1 (" in out
    assert "messages parked 2, the broker does not take them; the newest of line belt: refused: Not authorized" in out
    status_command(StatusRequest(config, as_json=True))
    found = json.loads(capsys.readouterr().out)
    assert (found["unsent"], found["parked"]) == (1, {"count": 2, "line": "belt", "reason": "refused: Not authorized"})


def test_a_line_that_has_changed_is_named(config, capsys, monkeypatch):
    state = {
        "problems": [],
        "mqtt": "connected",
        "lines": [{"name": "belt", "line_advice": "darker"}, {"name": "x"}],
    }
    monkeypatch.setattr("agent.commands.status.is_locked", lambda _: True)
    monkeypatch.setattr("agent.commands.status.ask", lambda *_: state)
    status_command(StatusRequest(config))
    assert "line belt: recalibrate: darker" in capsys.readouterr().out
    status_command(StatusRequest(config, as_json=True))
    assert json.loads(capsys.readouterr().out)["advice"] == {"belt": "darker"}
