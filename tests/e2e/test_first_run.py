"""The first run as a newcomer has it: shipped configuration, samples, broker, page; then bad files and a crash."""

import json
import shutil
import signal
import urllib.request

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from playwright.sync_api import sync_playwright

from tests.e2e.running_agent import SAMPLES, RunningAgent, Subscriber
from tests.factories.brokers import free_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EVENT_FIELDS = {
    "schema", "message_id", "stream_id", "message_seq", "event_id", "kind", "type", "end_reason", "agent", "line",
    "ts_capture", "ts_publish", "historical", "verdict", "reason", "advice", "margin", "score", "threshold", "z",
    "regions", "image", "model", "profile", "latency_ms", "context",
}  # fmt: skip
NORMAL = sorted((SAMPLES / "inbox").glob("tile_good_*.png"))
ANOMALOUS = sorted(p for p in (SAMPLES / "inbox").glob("tile_*.png") if "good" not in p.name)


@pytest.fixture
def make(tmp_path):
    made = []

    def build(change=None, name="agent") -> RunningAgent:
        agent = RunningAgent(tmp_path / name, change)
        made.append(agent)
        return agent

    yield build
    for agent in made:
        agent.close()


@pytest.fixture
def listen():
    made = []

    def build(port, version=MQTTProtocolVersion.MQTTv311) -> Subscriber:
        subscriber = Subscriber(port, version)
        made.append(subscriber)
        return subscriber

    yield build
    for subscriber in made:
        subscriber.close()


def result_of(subscriber: Subscriber, sha256: str) -> dict:
    return subscriber.wait(
        lambda topic, body: topic.endswith("/inbox/result") and body["image"]["sha256"] == sha256, "a result"
    )


def sha256(path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_first_run_end_to_end(make, listen, tmp_path):
    agent = make()
    for image in (*NORMAL, *ANOMALOUS):
        shutil.copy(image, agent.inbox / image.name)
    agent.start()
    subscriber = listen(agent.mqtt_port)

    # The seeded images may have been answered before we listened; the store knows them all.
    done = agent.folder / "var" / "inbox.done"
    agent.until(lambda: done.is_dir() and len(list(done.iterdir())) == len(NORMAL) + len(ANOMALOUS), "the seeded files")
    inbox_events = [e for e in agent.events() if e["line"] == "inbox"]
    assert len(inbox_events) == len(ANOMALOUS)
    assert {(e["kind"], e["end_reason"]) for e in inbox_events} == {("anomaly", "unit")}

    belt = subscriber.wait(lambda t, b: t == "fbclip/demo/belt/event" and b["type"] == "new", "an event of the belt")
    assert set(belt) == EVENT_FIELDS
    assert belt["schema"] == "fbclip.event/1"
    assert belt["kind"] == "anomaly"
    assert belt["z"] > belt["threshold"]
    end = subscriber.wait(
        lambda t, b: t == "fbclip/demo/belt/event" and b["type"] == "end" and b["event_id"] == belt["event_id"],
        "its end",
    )
    assert end["end_reason"] == "cleared"
    assert end["message_id"] != belt["message_id"]
    assert end["message_seq"] > belt["message_seq"]

    agent.drop(ANOMALOUS[0], "again.png")
    alarm = result_of(subscriber, sha256(ANOMALOUS[0]))
    assert alarm["verdict"] == "anomaly"
    assert (agent.folder / "var" / alarm["image"]["ref"]).is_file()
    subscriber.wait(
        lambda t, b: t.endswith("/inbox/event") and b["image"]["sha256"] == sha256(ANOMALOUS[0]), "its event"
    )
    agent.drop(NORMAL[0], "fine.png")
    assert result_of(subscriber, sha256(NORMAL[0]))["verdict"] in {"ok", "uncertain"}
    assert not [b for b in subscriber.messages("inbox/event") if b["image"]["sha256"] == sha256(NORMAL[0])]

    text = tmp_path / "text.txt"
    text.write_text("no image at all")
    agent.drop(text, "text.png")
    rejected = result_of(subscriber, sha256(text))
    assert (rejected["verdict"], rejected["reason"]) == ("rejected", "not_an_image")
    failed = agent.folder / "var" / "inbox.failed"
    agent.until((failed / "text.png.reason.json").is_file, "the reason file")
    assert json.loads((failed / "text.png.reason.json").read_text())["reason"] == "not_an_image"
    assert (failed / "text.png").read_bytes() == text.read_bytes()
    assert any(b["kind"] == "no_verdict" for b in subscriber.messages("inbox/event"))

    check_page_and_status(agent)
    assert agent.stop() == 0
    offline = subscriber.wait(lambda t, b: t == "fbclip/demo/status" and b["state"] == "offline", "its last word", 10)
    assert offline["reason"] == "shutdown"
    assert json.loads(agent.command("status", "-c", str(agent.config), "--json").stdout)["running"] is False


def check_page_and_status(agent: RunningAgent) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{agent.web_port}/api/state", timeout=10) as answer:
        state = json.load(answer)
    assert {line["name"] for line in state["lines"]} == {"belt", "inbox"}
    assert state["problems"] == []
    for line in state["lines"]:
        assert line["grabbed"] == line["inspected"] + line["rejected"] + line["dropped"] + line["in_flight"]
    if CHROMIUM is not None:
        look_at_page(f"http://127.0.0.1:{agent.web_port}/")
    status = json.loads(agent.command("status", "-c", str(agent.config), "--json").stdout)
    assert status["running"] is True
    assert status["lines"]["inbox"]["rejected"] == 1


def look_at_page(url: str) -> None:
    """Both lines, and that one file got no verdict, as a browser shows them."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(url)
        page.get_by_text("belt", exact=True).first.wait_for(timeout=30_000)
        page.get_by_text("NO VERDICT").first.wait_for(timeout=30_000)
        browser.close()


def test_sequence_is_gap_free_and_nothing_is_lost_while_the_broker_is_away(make, listen, mosquitto):
    broker = mosquitto()

    def change(config):
        config["mqtt"]["url"] = f"mqtt://127.0.0.1:{broker.port}"
        config["lines"] = [line for line in config["lines"] if line["name"] == "inbox"]

    agent = make(change)
    agent.start()
    subscriber = listen(broker.port, MQTTProtocolVersion.MQTTv5)
    subscriber.wait(lambda t, b: t == "fbclip/demo/status" and b["state"] == "online", "online")
    agent.drop(ANOMALOUS[0], "a.png")
    result_of(subscriber, sha256(ANOMALOUS[0]))
    broker.kill()
    agent.drop(ANOMALOUS[1], "b.png")
    done = agent.folder / "var" / "inbox.done"
    agent.until((done / "b.png").is_file, "judging to go on without a broker")
    # What the agent says to a broker that nobody listens to is heard by nobody: the listener is back first.
    agent.process.send_signal(signal.SIGSTOP)
    broker.start()
    agent.until(lambda: subscriber.subscribed == 2, "the listener to be back")
    agent.process.send_signal(signal.SIGCONT)
    result_of(subscriber, sha256(ANOMALOUS[1]))
    seqs = {b["message_seq"]: b["message_id"] for t in ("event", "result") for b in subscriber.messages(f"inbox/{t}")}
    assert sorted(seqs) == [1, 2, 3, 4, 5, 6]
    assert len(set(seqs.values())) == 6
    assert agent.stop() == 0


def test_after_a_kill_every_file_is_judged_exactly_once(make):
    def change(config):
        config["lines"] = [line for line in config["lines"] if line["name"] == "inbox"]

    agent = make(change)
    images = [*NORMAL, *ANOMALOUS] * 4
    for number, image in enumerate(images):
        shutil.copy(image, agent.inbox / f"{number:03d}.png")
    agent.start()
    done = agent.folder / "var" / "inbox.done"
    agent.until(lambda: done.is_dir() and any(done.iterdir()), "the first files")
    agent.stop(signal.SIGKILL)
    agent.log.write_text("")
    agent.start()
    agent.until(lambda: len(list(done.iterdir())) == len(images), "all files")
    assert agent.stop() == 0
    assert list(agent.inbox.iterdir()) == []
    totals = json.loads(agent.command("status", "-c", str(agent.config), "--json").stdout)["lines"]["inbox"]
    assert sum(totals.values()) == len(images)


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (lambda c: c["lines"][0].update(profil="x"), 2, "lines.0.profil: unknown key"),
        (lambda c: c["model"].update(backbone="ViT-L-14-336"), 1, "ViT-L-14-336"),
        (lambda c: c["web"].update(token_env="NOT_SET"), 2, "the environment variable NOT_SET is not set"),
        (lambda c: c["web"].update(listen="0.0.0.0:0"), 2, "web.token_env"),
    ],
)
def test_what_cannot_run_is_refused_in_one_line(make, change, code, says):
    agent = make(change)
    answer = agent.command("run", "-c", str(agent.config))
    assert answer.returncode == code
    assert says in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


def test_check_names_each_part(make):
    agent = make()
    answer = agent.command("check", "-c", str(agent.config))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    port = free_port()

    def change(config):
        config["mqtt"]["url"] = f"mqtt://127.0.0.1:{port}"
        config["lines"][0]["source"]["path"] = "missing.mp4"

    broken = make(change, "broken")
    answer = broken.command("check", "-c", str(broken.config), "--json")
    assert answer.returncode == 1
    failing = {row["part"]: row["problem"] for row in json.loads(answer.stdout) if row["problem"]}
    assert set(failing) == {"line belt: source", "broker"}
    assert "missing.mp4" in failing["line belt: source"]
    assert str(port) in failing["broker"]
