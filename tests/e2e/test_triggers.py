"""Triggers from a real broker: each is answered once with its part, whatever becomes of line, camera and agent."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
from collections import Counter

import pytest

from tests.e2e.running_agent import SAMPLES, RunningAgent, Subscriber
from tests.factories.brokers import free_port

FFMPEG = shutil.which("ffmpeg")
TRIGGER = "fbclip/demo/cmd/trigger"


@pytest.fixture
def make(tmp_path, mosquitto):
    """An agent with the line `belt` alone, whose source is changed as told, and an outside client."""
    made = []

    def build(**source):
        broker = mosquitto()

        def change(config):
            config["mqtt"]["url"] = f"mqtt://127.0.0.1:{broker.port}"
            config["lines"] = config["lines"][:1]
            line = config["lines"][0]
            line["source"] = source if "type" in source else line["source"] | source

        agent = RunningAgent(tmp_path / f"agent{len(made)}", change)
        subscriber = Subscriber(broker.port)
        made.append((agent, subscriber))
        agent.start()
        subscriber.wait(lambda t, b: t.endswith("/demo/status") and b["state"] == "online", "online")
        return agent, subscriber

    yield build
    for agent, subscriber in made:
        subscriber.close()
        agent.close()


def results(subscriber):
    return {body["context"]["part"]: body for body in subscriber.messages("belt/result")}


def all_answered(subscriber, count):
    """Waits for so many results; by part, after a look that none came twice."""
    subscriber.wait(lambda *_: len(subscriber.messages("belt/result")) >= count, f"{count} results")
    found = subscriber.messages("belt/result")
    assert Counter(body["context"]["part"] for body in found).most_common(1)[0][1] == 1
    return results(subscriber)


def rows(agent):
    with sqlite3.connect(f"file:{agent.folder / 'var' / 'agent.db'}?mode=ro", uri=True) as store:
        found = store.execute("select verdict, reason, context, discrete from inspections order by id").fetchall()
    return [(verdict, reason, json.loads(context or "null"), discrete) for verdict, reason, context, discrete in found]


def test_parts_are_answered_once_a_burst_is_busy_and_the_end_answers_the_rest(make):
    agent, subscriber = make(trigger="mqtt", answer_s=20, queue=4)
    # Answers to commands that reach no line.
    for body in ({"line": "moon", "part": 1}, {"line": "belt", "part": "x" * 600}, {"part": 1}):
        subscriber.publish(TRIGGER, body | {"correlation_id": "wrong"})
    subscriber.wait(lambda *_: len(subscriber.messages("answer")) == 3, "the refusals")
    texts = [body["text"] for body in subscriber.messages("answer")]
    assert texts[0] == "line moon: there is no such line"
    assert "part: larger than 512 bytes" in texts[1]
    assert "line: Field required" in texts[2]
    assert not any(body["ok"] for body in subscriber.messages("answer"))
    # In turn: strings, numbers and small values come back as they were.
    for part in ("A-1", 17, 2.5):
        subscriber.publish(TRIGGER, {"line": "belt", "part": part, "correlation_id": f"c-{part}"})
        result = subscriber.wait(
            lambda t, b, p=part: t.endswith("/belt/result") and b["context"]["part"] == p, f"the result of {part}"
        )
        assert result["verdict"] in {"ok", "anomaly", "uncertain"}
        assert result["context"] == {
            "trigger": "mqtt", "part": part, "correlation_id": f"c-{part}", "frames": 1, "judged": 1,
        }  # fmt: skip
        answer = subscriber.wait(
            lambda t, b, p=part: t.endswith("/answer") and b["correlation_id"] == f"c-{p}", "the answer"
        )
        assert (answer["ok"], answer["text"]) == (True, "line belt: accepted")
        assert answer["context"]["part"] == part
    # A burst: four may wait, of the others each hears at once that the line is busy.
    for number in range(20):
        subscriber.publish(TRIGGER, {"line": "belt", "part": f"b{number}"})
    found = all_answered(subscriber, 23)
    busy = [body for body in found.values() if body["reason"] == "busy"]
    assert 1 <= len(busy) <= 16
    assert all(body["verdict"] == "rejected" for body in busy)
    events = [body for body in subscriber.messages("belt/event") if body["reason"] == "busy"]
    assert [body["type"] for body in events] == ["new", "end"] * len(busy)
    # By the shell.
    done = agent.command("ctl", "trigger", "--line", "belt", "--part", "shell", "-c", str(agent.config))
    assert done.stdout.strip() == "done   line belt: accepted", done.stderr
    all_answered(subscriber, 24)
    health = subscriber.wait(
        lambda t, b: t.endswith("/demo/health") and b["lines"]["belt"].get("triggers", {}).get("answered") == 24,
        "the counts",
    )
    counters = health["lines"]["belt"]
    assert counters["triggers"] == {
        "received": 24, "answered": 24, "busy": len(busy), "timeout": 0, "late": 0, "lost": 0,
    }  # fmt: skip
    assert counters["dropped"]["not_triggered"] > 0
    assert (
        counters["grabbed"]
        == counters["inspected"] + counters["rejected"] + sum(counters["dropped"].values()) + counters["in_flight"]
    )
    assert health["healthy"], health["problems"]
    # Switched off: answered as well.
    agent.command("ctl", "disable", "--line", "belt", "-c", str(agent.config))
    subscriber.publish(TRIGGER, {"line": "belt", "part": "off"})
    assert all_answered(subscriber, 25)["off"]["reason"] == "line_off"
    agent.command("ctl", "enable", "--line", "belt", "-c", str(agent.config))
    # Stopped with triggers waiting.
    for number in range(4):
        subscriber.publish(TRIGGER, {"line": "belt", "part": f"z{number}"})
    assert agent.stop() == 0
    found = all_answered(subscriber, 29)
    assert {found[f"z{n}"]["reason"] for n in range(4)} <= {"shutdown", None}
    stored = rows(agent)
    assert len(stored) == 29
    assert {row[2]["part"] for row in stored} == set(found)
    assert all(row[3] for row in stored)
    audit = agent.folder / "var" / "agent.db"
    with sqlite3.connect(f"file:{audit}?mode=ro", uri=True) as store:
        assert store.execute("select count(*) from audit where verb = 'trigger'").fetchone() == (0,)


@pytest.mark.skipif(FFMPEG is None, reason="ffmpeg is not installed")
def test_a_camera_that_hangs_is_answered_in_time_and_clears_when_it_is_back(make):
    port = free_port()
    source = ["-re", "-stream_loop", "-1", "-i", str(SAMPLES / "belt.mp4"), "-c:v", "mpeg4", "-q:v", "2", "-r", "10"]
    target = ["-f", "mpegts", f"tcp://127.0.0.1:{port}?listen=1"]
    command = [str(FFMPEG), "-loglevel", "quiet", "-nostdin", *source, *target]
    stream = subprocess.Popen(command)
    try:
        agent, subscriber = make(
            type="camera", url=f"tcp://127.0.0.1:{port}", stall_s=2, trigger="mqtt", answer_s=5, frames=2
        )
        subscriber.wait(lambda t, b: t.endswith("/belt/status") and b["health"] == "connected", "the camera", 30)
        subscriber.publish(TRIGGER, {"line": "belt", "part": "seen"})
        seen = subscriber.wait(lambda t, b: t.endswith("/belt/result"), "the first result")
        assert (seen["context"]["frames"], seen["context"]["judged"]) == (2, 2)
        os.kill(stream.pid, signal.SIGSTOP)
        # It waits for triggers and is healthy; without images it is not.
        lost = subscriber.wait(lambda t, b: b.get("reason") == "camera_lost" and b.get("type") == "new", "the loss", 30)
        subscriber.publish(TRIGGER, {"line": "belt", "part": "unseen"})
        result = subscriber.wait(lambda t, b: t.endswith("/belt/result") and b["context"]["part"] == "unseen", "no")
        assert (result["verdict"], result["reason"]) == ("rejected", "timeout")
        assert (result["context"]["frames"], result["context"]["judged"]) == (2, 0)
        assert 5000 <= result["latency_ms"]["total"] < 6000
        subscriber.wait(lambda t, b: t.endswith("/demo/health") and not b["healthy"], "ill health")
        stream.kill()
        stream.wait(10)
        stream = subprocess.Popen(command)
        ended = []
        for number in range(40):
            subscriber.publish(TRIGGER, {"line": "belt", "part": number})
            subscriber.wait(
                lambda t, b, n=number: t.endswith("/belt/result") and b["context"]["part"] == n, "the next", 30
            )
            ended = [
                body
                for body in subscriber.messages("belt/event")
                if body["event_id"] == lost["event_id"] and body["type"] == "end"
            ]
            if ended:
                break
        assert ended, "the loss of the camera has no end"
        assert ended[0]["end_reason"] == "cleared"
        found = [body["context"]["part"] for body in subscriber.messages("belt/result")]
        assert len(found) == len(set(map(str, found)))
        assert agent.stop() == 0
    finally:
        stream.kill()
        stream.wait(10)


def test_an_interval_is_answered_each_time_and_nobody_else_may_trigger(make):
    agent, subscriber = make(trigger="interval", interval_s=0.5, answer_s=30)
    subscriber.publish(TRIGGER, {"line": "belt", "part": 1, "correlation_id": "a"})
    answer = subscriber.wait(lambda t, b: t.endswith("/answer"), "the answer")
    assert (answer["ok"], "trigger: mqtt" in answer["text"]) == (False, True)
    subscriber.wait(lambda *_: len(subscriber.messages("belt/result")) >= 4, "four intervals")
    contexts = [body["context"] for body in subscriber.messages("belt/result")]
    assert all(one == {"trigger": "interval", "part": None, "frames": 1, "judged": 1} for one in contexts)
    assert agent.stop() == 0
