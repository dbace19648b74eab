"""Files that an earlier version wrote still load, under the same ids, and still say the same.

Only public commands are asked, so no module has to stay where it was. kept/README.md tells how each file was made.
"""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main as agent
from calibrate.cli import main as calibrate

KEPT = Path(__file__).parent / "kept"
EXPECTED = json.loads((KEPT / "expected.json").read_text(encoding="utf-8"))
IMAGES = ("normal.png", "anomalous.png")
MEMORIES = {"profile": ["--memory", "memory"], "profile_older": ["--memory", "memory_older"], "profile_zero_shot": []}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def station(tmp_path, monkeypatch) -> Path:
    """The folder of an agent that has run before, and the one in which commands run."""
    folder = tmp_path / "station"
    shutil.copytree(KEPT, folder)
    for inbox in ("tiles", "masked"):
        (folder / "var" / inbox).mkdir(parents=True)
    text = (folder / "agent.yaml").read_text(encoding="utf-8")
    for port in ("18830", "18080"):
        assert port in text
        text = text.replace(port, str(free_port()))
    (folder / "agent.yaml").write_text(text, encoding="utf-8")
    store = sqlite3.connect(folder / "var" / "agent.db")
    pragmas = "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL;"
    store.executescript(pragmas + (folder / "agent.sql").read_text(encoding="utf-8"))
    store.close()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def command(station, monkeypatch, capsys):
    """Runs `agent` or `calibrate` in this process and returns what it wrote to stdout and stderr."""

    def run(main, *words: object, code: int = 0) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["command", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert (ended.value.code or 0) == code, out + err
        return out, err

    return run


def known(found: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """What is found of the keys that are expected: a later version may tell more."""
    return {key: found.get(key) for key in expected}


def events_of(command) -> list[dict[str, Any]]:
    return [known(event, EXPECTED["events"][0]) for event in json.loads(command(agent, "events", "--json")[0])]


@pytest.mark.parametrize("profile", MEMORIES)
def test_verdicts_and_ids_are_the_same(profile, command, station):
    options = ["--profile", f"{profile}.yaml", *MEMORIES[profile], "--device", "cpu", "--json"]
    out, problem = command(agent, "inspect", *IMAGES, *options, code=1)
    assert len(out.splitlines()) == len(IMAGES), problem
    for image, answer in zip(IMAGES, map(json.loads, out.splitlines()), strict=True):
        expected = EXPECTED["inspect"][profile][image]
        assert answer["verdict"] == expected["verdict"]
        for number in ("z", "margin", "score"):
            assert answer[number] == pytest.approx(expected[number], abs=1e-4), (image, number)

    for image, kind in zip(IMAGES, ("good", "scratch"), strict=True):
        (station / "labelled" / kind).mkdir(parents=True)
        shutil.copy(image, station / "labelled" / kind)
    run = json.loads(command(calibrate, "evaluate", "labelled", "--out", "judged", "--worst", 0, *options)[0])
    assert known(run["model"], EXPECTED["ids"][profile]) | {"profile": run["profile"]["id"]} == EXPECTED["ids"][profile]


def test_an_adapter_keeps_its_id(command):
    """It is for a tiny backbone, so it is loaded, named and refused."""
    _, problem = command(agent, "inspect", IMAGES[0], "--adapter", "adapter", code=1)
    assert f"adapter {EXPECTED['ids']['adapter'][:12]}" in problem


def test_a_memory_can_grow(command, station):
    (station / "more").mkdir()
    shutil.copy(IMAGES[0], "more")
    out, _ = command(calibrate, "memory", "more", "--add", "memory", "--tokens", 24, "--out", "grown", "--json")
    before = json.loads((KEPT / "memory" / "memory.json").read_text(encoding="utf-8"))
    assert json.loads(out)["pictures"] == len(before["provenance"]["pictures"]) + 1


def test_a_run_is_reported_and_compared(command):
    command(calibrate, "report", "run", "--few-shot", "few_shot.json", "--out", "page.html")
    page = Path("page.html").read_text(encoding="utf-8")
    assert EXPECTED["ids"]["profile"]["profile"] in page
    assert "few, AUROC of images" in page
    for run in json.loads(command(calibrate, "compare", "run", "run", "--json")[0])["runs"]:
        assert known(run["classes"]["tile"], EXPECTED["run"]) == EXPECTED["run"]


def test_configurations_and_store_are_read(command):
    command(agent, "check")
    status = json.loads(command(agent, "status", "--json")[0])
    assert known(status, EXPECTED["status"]) == EXPECTED["status"]
    assert events_of(command) == EXPECTED["events"]
    other = json.loads(command(agent, "status", "-c", "agent_other.yaml", "--json")[0])
    assert list(other["lines"]) == ["tiles", "oven", "gate", "film"]
    assert other["lines"]["tiles"] == EXPECTED["status"]["lines"]["tiles"]


def test_the_agent_goes_on_where_it_stopped(command):
    shutil.copy("anomalous.png", "var/tiles/again.png")
    words = [sys.executable, "-c", "from agent.cli import main; main()", "run"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    end = time.monotonic() + 90
    try:
        while not Path("var/tiles.judged/again.png").exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        log = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 0, log
    newest, *others = events_of(command)
    assert (newest["line"], newest["kind"], newest["end_reason"]) == ("tiles", "anomaly", "unit")
    assert others == EXPECTED["events"]
    status = json.loads(command(agent, "status", "--json")[0])
    assert status["stream_id"] == EXPECTED["status"]["stream_id"]
    assert status["lines"]["tiles"] == EXPECTED["status"]["lines"]["tiles"] | {"anomaly": 2}
