"""What the user types becomes one request; help costs no model."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.commands import options
from agent.commands.events import events_command
from agent.commands.run import welcome_lines
from agent.config.sections import Config
from fbclip.errors import ConfigError


def request_of(monkeypatch, command: str, *arguments: str):
    """What `agent COMMAND ARGUMENTS` hands to its function."""
    got = []
    monkeypatch.setattr(f"agent.commands.{command}.{command}_command", got.append)
    monkeypatch.setattr("agent.commands.run.leave", lambda _: None)
    answer = CliRunner().invoke(app, [command, *arguments])
    assert answer.exit_code == 0, answer.output
    return got[0]


@pytest.mark.parametrize(
    ("command", "arguments", "expected"),
    [
        ("run", ["-c", "x.yaml"], options.RunRequest(Path("x.yaml"))),
        ("check", ["--json"], options.CheckRequest(as_json=True)),
        ("status", [], options.StatusRequest()),
        ("ctl", ["disable", "--line", "belt"], options.CtlRequest("disable", line="belt")),
        ("events", ["--line", "belt", "--limit", "3"], options.EventsRequest(line="belt", limit=3)),
        (
            "collect",
            ["--line", "belt", "--out", "o", "--units", "5", "--every", "2", "--idle", "1.5", "--config", "x.yaml"],
            options.CollectRequest("belt", Path("o"), 5, None, 3, 2, 1.5, Path("x.yaml")),
        ),
        (
            "inspect",
            [
                "a",
                "b",
                "--profile",
                "p",
                "--backbone",
                "B",
                "--weights",
                "w",
                "--adapter",
                "d",
                "--memory",
                "m",
                "--device",
                "cpu",
                "--save",
                "s",
                "--json",
            ],
            options.InspectRequest(
                [Path("a"), Path("b")], Path("p"), "B", Path("w"), Path("d"), Path("m"), "cpu", Path("s"), True
            ),
        ),
    ],
)
def test_options_become_one_request(monkeypatch, command, arguments, expected):
    assert request_of(monkeypatch, command, *arguments) == expected


def test_wrong_usage():
    assert CliRunner().invoke(app, ["inspect"]).exit_code == 2
    assert CliRunner().invoke(app, ["events", "--limit", "0"]).exit_code == 2
    assert CliRunner().invoke(app, ["collect", "--line", "belt"]).exit_code == 2


def test_help_loads_no_model():
    code = "import sys; from agent.cli import main; print(sorted({'torch', 'cv2', 'sqlalchemy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_a_line_that_is_not_configured_is_named(tmp_path):
    path = tmp_path / "agent.yaml"
    path.write_text("lines: [{name: belt, source: {type: video, path: v.mp4}, mode: learning}]")
    with pytest.raises(ConfigError, match=f"--line dock: no such line in {path}"):
        events_command(options.EventsRequest(path, "dock"))


def test_the_welcome_says_where_everything_is(tmp_path):
    source = {"type": "folder", "path": tmp_path / "in"}
    config = Config(lines=({"name": "inbox", "source": source, "mode": "learning"},))
    text = "\n".join(welcome_lines(config))
    assert "agent is judging inbox." in text
    assert "http://127.0.0.1:8088/" in text
    assert "-p 1883 -t 'fbclip/agent/#'" in text
    assert str(tmp_path / "in") in text
