"""A running agent with dead sources, a bad line, commands and parts that hang: nothing is stuck, all is named."""

import json
import shutil
import signal
import socket
import time
import urllib.error
import urllib.request

import pytest

from tests.e2e.running_agent import SAMPLES, RunningAgent, Subscriber
from tests.factories.brokers import free_port

NORMAL = sorted((SAMPLES / "inbox").glob("tile_good_*.png"))
ANOMALOUS = sorted(p for p in (SAMPLES / "inbox").glob("tile_*.png") if "good" not in p.name)


@pytest.fixture
def make(tmp_path):
    made = []

    def build(change=None, entry="tests.e2e.run_agent") -> RunningAgent:
        agent = RunningAgent(tmp_path / f"agent{len(made)}", change)
        agent.entry = entry.split()
        made.append(agent)
        return agent

    yield build
    for agent in made:
        agent.close()


def ask(agent, path="/healthz"):
    """Status code and body."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{agent.web_port}{path}", timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def problems(agent) -> str:
    return "; ".join(ask(agent)[1].get("problems", []))


def inbox_only(config):
    config["lines"] = [line for line in config["lines"] if line["name"] == "inbox"]
    config["lines"][0]["source"]["rescan_s"] = 0.5


def test_dead_sources_and_a_bad_line_are_named_and_the_others_run(make):
    port = free_port()

    def change(config):
        inbox_only(config)
        plain = {"mode": "learning"}
        camera = {"type": "camera", "url": f"http://127.0.0.1:{port}/x", "stall_s": 1}
        config["lines"] += [
            {"name": "dead", "source": camera} | plain,
            {"name": "secret", "source": {"type": "camera", "url_env": "NOT_SET_ANYWHERE"}} | plain,
            {"name": "bad", "source": dict(camera), "profile": "none.yaml", "mode": "shadow"},
        ]

    agent = make(change)
    agent.start()
    agent.until(lambda: all(f"line {n}" in problems(agent) for n in ("dead", "secret", "bad")), "the problems")
    found = problems(agent)
    assert "line dead: no image for" in found
    assert "NOT_SET_ANYWHERE" in found
    assert "none.yaml: no such profile" in found
    assert "line inbox" not in found
    agent.drop(ANOMALOUS[0], "part.png")
    done = agent.folder / "var" / "inbox.done"
    agent.until((done / "part.png").is_file, "the good line's verdict")
    assert ask(agent, "/readyz")[0] == 200
    # The hot folder goes away, and comes back.
    shutil.rmtree(agent.inbox)
    agent.until(lambda: "line inbox: folder cannot be read" in problems(agent), "the lost folder", 15)
    agent.inbox.mkdir()
    agent.until(lambda: "line inbox" not in problems(agent), "the folder's return", 15)
    listener = Subscriber(agent.mqtt_port)
    try:
        for name, state in {
            "inbox": "running", "dead": "failing", "secret": "unavailable", "bad": "unavailable"
        }.items():  # fmt: skip
            listener.wait(
                lambda t, b, n=name, s=state: t.endswith(f"/{n}/status") and b["state"] == s, f"{name} {state}"
            )
    finally:
        listener.close()
    page = ask(agent, "/api/state")[1]
    assert "none.yaml" in next(line["health"] for line in page["lines"] if line["name"] == "bad")
    check = agent.command("check", "-c", str(agent.config))
    assert check.returncode == 1
    assert "FAILED line bad: profile: " in check.stdout
    assert agent.stop() == 0


def test_commands_by_ctl_and_sighup(make):
    agent = make(inbox_only)
    agent.start()

    def ctl(*arguments):
        return agent.command("ctl", *arguments, "-c", str(agent.config))

    done = ctl("threshold", "--line", "inbox", "--threshold", "1e9")
    said = "done   line inbox: profile (guarantee: none (by hand))"
    assert (done.returncode, done.stdout.strip()) == (0, said), done.stderr
    listener = Subscriber(agent.mqtt_port)
    try:
        agent.drop(ANOMALOUS[0], "part.png")
        result = listener.wait(lambda topic, _: topic.endswith("/inbox/result"), "a result")
        # The same over the broker, which here speaks 3.1.1.
        for verb, state in (("disable", "disabled"), ("enable", "running")):
            listener.publish(f"fbclip/demo/cmd/{verb}", {"line": "inbox", "correlation_id": verb})
            answer = listener.wait(lambda t, b, v=verb: t.endswith("/answer") and b["verb"] == v, "an answer")
            assert (answer["ok"], answer["correlation_id"]) == (True, verb)
            listener.wait(lambda t, b, s=state: t.endswith("/inbox/status") and b["state"] == s, state)
    finally:
        listener.close()
    # Below the threshold by hand, and still above the profile's limit of certainty.
    assert (result["verdict"], result["threshold"]) == ("uncertain", 1e9)
    assert (
        ctl("threshold", "--line", "moon", "--threshold", "1").stdout.strip()
        == "FAILED line moon: there is no such line"
    )
    wrong = ctl("fly")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("error: fly: no such command")
    # SIGHUP with a wrong file keeps what runs, and says so.
    good = agent.config.read_text()
    agent.config.write_text(good.replace("settle_s: 0.3", "settle_s: never"))
    agent.process.send_signal(signal.SIGHUP)
    agent.until(lambda: "the old configuration is kept" in agent.log.read_text(), "the refusal")
    agent.config.write_text(good.replace("rescan_s: 0.5", "rescan_s: 0.7"))
    agent.process.send_signal(signal.SIGHUP)
    agent.until(lambda: "line inbox: source" in agent.log.read_text(), "the reload")
    agent.drop(NORMAL[0], "next.png")
    agent.until((agent.folder / "var" / "inbox.done" / "next.png").is_file, "a verdict after the reload")
    assert agent.stop() == 0
    assert "no agent answers" in ctl("reload").stderr


def test_a_part_that_hangs_keeps_the_run_from_nothing_but_a_clean_end(make, tmp_path, monkeypatch):
    """The recorder hangs. The service manager hears of start, progress and end, and the end comes in time."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        agent = make(inbox_only, "tests.e2e.hanging_agent recorder")
        agent.start()
        assert manager.recv(1000) == b"READY=1"
        assert manager.recv(1000) == b"WATCHDOG=1\nSTATUS=judging 1 lines"
        agent.drop(NORMAL[0], "part.png")
        agent.until(lambda: ask(agent)[0] == 200 and ask(agent, "/api/state")[1]["lines"][0]["in_flight"], "its work")
        began = time.monotonic()
        agent.stop()
        assert time.monotonic() - began < 10
        heard = []
        while not heard or heard[-1] != b"STOPPING=1":
            heard.append(manager.recv(1000))
        assert all(one.startswith(b"WATCHDOG=1") for one in heard[:-1])
    # The file was not recorded: the next start judges it.
    assert (agent.inbox / "part.png").is_file()
