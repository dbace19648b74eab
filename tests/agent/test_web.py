"""The page: what it shows, who may see it, and what a browser makes of it."""

import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from datetime import UTC, datetime

import numpy as np
import pytest
from starlette.testclient import TestClient

from agent.errors import AgentError
from agent.records import Inspection, Latency, LineCounters, LineMode
from agent.web.app import create_app
from agent.web.server import WebServer
from agent.web.state import LiveState, RecentEvent
from fbclip.decision import Decision, Region, Verdict, reject
from fbclip.images.geometry import Placement

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LOCAL = "http://127.0.0.1:8088"


class Time:
    def __init__(self):
        self.now = 50.0

    def __call__(self):
        return self.now


def inspection(line, decision):
    return Inspection(
        "run", line, 7, NOW, LineMode.LIVE, decision, 320, 240, None, None, None, None, None, None,
        Latency(1, 20, 42), False,
    )  # fmt: skip


def image():
    ramp = np.linspace(60, 170, 320).astype(np.uint8)
    return np.repeat(np.repeat(ramp[None, :, None], 240, axis=0), 3, axis=2)


def example(time=None, problems=()):
    """Two lines: one has found something, the other is a folder that could not read a file."""
    events = [
        RecentEvent(NOW, None, "belt", "anomaly", None, 3.2, 1.5),
        RecentEvent(NOW, NOW, "inbox", "no_verdict", "<b>truncated</b>", None, 1.1),
    ]
    state = LiveState("demo", lambda: events, lambda: problems, time or Time())
    state.add_line("belt", "live", live=True)
    state.add_line("inbox", "shadow", live=False)
    state.set_mqtt("connected")
    state.set_line("belt", "playing", LineCounters(1290, 1200, 3, {"replaced": 86}))
    state.set_line("inbox", "watching", LineCounters(12, 11, 1))
    heat = np.zeros((32, 32), np.float32)
    heat[8:14, 12:20] = 5
    found = Decision(Verdict.ANOMALY, None, 3.2, 1.9, 0.87, 1.5, (Region((120, 60, 200, 105), 3600, 5.0),))
    state.show(inspection("belt", found), image(), heat, Placement(0, 0, 320, 240), (0.0, 5.0))
    state.show(inspection("inbox", reject("truncated", 1.1)), None)
    return state


def client(state, **options):
    return TestClient(create_app(state, **options), base_url=LOCAL, follow_redirects=False)


def test_the_state_as_json():
    answer = client(example()).get("/api/state").json()
    belt, inbox = answer["lines"]
    assert (belt["verdict"], belt["z"], belt["threshold"], belt["stale"]) == ("anomaly", 3.2, 1.5, False)
    assert belt["grabbed"] == belt["inspected"] + belt["rejected"] + belt["dropped"] + belt["in_flight"]
    assert (inbox["verdict"], inbox["reason"], inbox["has_frame"]) == ("rejected", "truncated", False)
    assert answer["events"][0]["ended"] is None and answer["mqtt"] == "connected"


def test_only_a_silent_camera_is_stale():
    time = Time()
    page = client(example(time))
    time.now += 10.5
    assert [line["stale"] for line in page.get("/api/state").json()["lines"]] == [True, False]


def test_images():
    page = client(example())
    for kind in ("frame", "overlay"):
        answer = page.get(f"/lines/belt/{kind}.jpg")
        assert answer.headers["content-type"] == "image/jpeg" and answer.content.startswith(b"\xff\xd8")
    assert page.get("/lines/inbox/frame.jpg").status_code == 404
    assert page.get("/lines/nobody/frame.jpg").status_code == 404


def test_at_most_two_encodings_a_second():
    time = Time()
    state = example(time)
    first = state.frame_jpeg("belt")
    state.show(inspection("belt", reject("black")), 255 - image())
    assert state.frame_jpeg("belt") is first
    time.now += 0.6
    assert state.frame_jpeg("belt") != first


def test_health():
    assert client(example()).get("/healthz").json() == {"status": "ok"}
    answer = client(example(problems=("store: disk full",))).get("/healthz")
    assert answer.status_code == 503 and answer.json()["problems"] == ["store: disk full"]
    guarded = client(example(problems=("store: disk full",)), loopback=False, token="t0ken").get("/healthz")
    assert guarded.status_code == 503 and "disk" not in guarded.text


def test_security_headers_and_escaping():
    state = LiveState("<script>alert(1)</script>")
    answer = client(state).get("/")
    assert "<script>alert" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8088", ""])
def test_foreign_host_names_are_refused_on_loopback(host):
    assert client(example()).get("/api/state", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:8088", "127.0.0.1", "[::1]:8088"])
def test_local_host_names_are_answered(host):
    assert client(example()).get("/", headers={"host": host}).status_code == 200


def test_elsewhere_a_token_is_needed():
    with pytest.raises(ValueError, match="token"):
        create_app(example(), loopback=False)
    page = client(example(), loopback=False, token="t0ken-ä")
    for path in ("/", "/api/state", "/lines/belt/frame.jpg", "/static/page.js"):
        assert page.get(path).status_code == 401
    assert page.get("/", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert page.get("/", headers={"cookie": "agent_session=t0ken"}).status_code == 401
    assert page.get("/?token=wrong").status_code == 401


def test_bearer_and_cookie():
    page = client(example(), loopback=False, token="t0ken")
    assert page.get("/", headers={"authorization": "Bearer t0ken"}).status_code == 200
    welcome = page.get("/?token=t0ken&x=1")
    assert welcome.status_code == 303 and welcome.headers["location"] == "/?x=1"
    cookie = welcome.headers["set-cookie"]
    assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and "t0ken" not in cookie
    assert page.get("/api/state").status_code == 200


def test_the_server_starts_answers_and_stops():
    server = WebServer(create_app(example()), "127.0.0.1", 0)
    server.start()
    url = f"http://127.0.0.1:{server.port}/healthz"
    with urllib.request.urlopen(url, timeout=5) as answer:
        assert answer.status == 200
    server.stop()
    server.stop()
    assert not server.alive
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=2)


def test_a_port_in_use_is_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AgentError, match=f"{port}: Address already in use"):
            WebServer(create_app(example()), "127.0.0.1", port).start()


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_browser_shows_the_verdicts(tmp_path):
    server = WebServer(create_app(example()), "127.0.0.1", 0)
    server.start()
    try:
        done = subprocess.run(
            [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}",
             "--virtual-time-budget=3000", "--dump-dom", f"http://127.0.0.1:{server.port}/"],
            check=False, capture_output=True, text=True, timeout=50,
        )  # fmt: skip
    finally:
        server.stop()
    dom = done.stdout
    assert 'data-verdict="anomaly"' in dom and ">ANOMALY<" in dom and ">NO VERDICT<" in dom
    assert "3.20" in dom and "&lt;b&gt;truncated&lt;/b&gt;" in dom and "<b>truncated" not in dom
    assert "/lines/belt/overlay.jpg?n=1" in dom
