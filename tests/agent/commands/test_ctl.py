"""`agent ctl` over a real socket: what it sends, what it prints, and what it says when nobody answers."""

import json

import pytest

from agent.commands.ctl import ctl_command, payload_of
from agent.commands.options import CtlRequest
from agent.errors import AgentError
from agent.web.access import Access, Role
from agent.web.app import create_app
from agent.web.server import WebServer
from fbclip.errors import ConfigError
from tests.factories.brokers import free_port
from tests.factories.page import example_page
from tests.factories.steering import write_config

TOKEN = "a-token-of-the-page"


@pytest.fixture
def told(tmp_path, monkeypatch):
    """What a running page was told; its configuration is in the folder."""
    heard = []

    def submit(verb, payload, _origin, reply):
        heard.append((verb, json.loads(payload)))
        reply({"ok": verb != "enable", "text": f"{verb} was heard"})
        return True

    monkeypatch.setenv("PAGE_TOKEN", TOKEN)
    server = WebServer(create_app(example_page(submit=submit), access=Access({Role.ENGINEER: TOKEN})), "127.0.0.1", 0)
    server.start()
    web = {"listen": f"127.0.0.1:{server.port}", "token_env": "PAGE_TOKEN"}
    write_config(tmp_path, {"name": "belt", "mode": "learning"}, web=web)
    yield heard
    server.stop()


def test_a_command_is_sent_with_the_token_and_its_answer_printed(told, tmp_path, capsys):
    path = tmp_path / "agent.yaml"
    assert ctl_command(CtlRequest("threshold", line="belt", threshold="2.5", config=path)) == 0
    assert capsys.readouterr().out == "done   threshold was heard\n"
    (verb, body), = told  # fmt: skip
    assert (verb, body["line"], body["threshold"]) == ("threshold", "belt", 2.5)
    assert body["by"]
    assert ctl_command(CtlRequest("enable", line="belt", config=path, as_json=True)) == 1
    assert json.loads(capsys.readouterr().out) == {"ok": False, "text": "enable was heard"}


def test_a_wrong_token_is_said(told, tmp_path, monkeypatch):
    monkeypatch.setenv("PAGE_TOKEN", "x" * 20)
    with pytest.raises(AgentError, match="a token is needed"):
        ctl_command(CtlRequest("reload", config=tmp_path / "agent.yaml"))
    assert told == []


def test_what_is_wrong_by_itself_is_not_sent(told, tmp_path):
    with pytest.raises(AgentError, match="feedback: inspection_id: Field required"):
        ctl_command(CtlRequest("feedback", label="normal", config=tmp_path / "agent.yaml"))
    for threshold, says in ((None, "threshold: Field required"), ("nan", "not valid JSON")):
        with pytest.raises(AgentError, match=says):
            ctl_command(CtlRequest("threshold", line="belt", threshold=threshold, config=tmp_path / "agent.yaml"))
    with pytest.raises(AgentError, match="enable: threshold: unknown field"):
        ctl_command(CtlRequest("enable", line="belt", threshold="1", config=tmp_path / "agent.yaml"))
    with pytest.raises(ConfigError, match="--threshold two: must be a number, or profile"):
        payload_of(CtlRequest("threshold", line="belt", threshold="two"))
    assert json.loads(payload_of(CtlRequest("threshold", threshold="profile")))["threshold"] is None
    assert told == []


def test_no_agent_answers(tmp_path):
    port = free_port()
    write_config(tmp_path, {"name": "belt", "mode": "learning"}, web={"listen": f"127.0.0.1:{port}"})
    with pytest.raises(AgentError, match=f"127.0.0.1:{port}: no agent answers .*; is it running"):
        ctl_command(CtlRequest("reload", config=tmp_path / "agent.yaml"))
