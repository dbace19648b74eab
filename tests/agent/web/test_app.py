"""The page: what it shows and who may see it."""

import threading
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from agent.config.services import WebSection
from agent.drift.advice import DriftFinding, DriftReport
from agent.records import LineCounters
from agent.web.access import Access, Role, page_access
from agent.web.app import create_app
from agent.web.guard import Guard, Guesses
from agent.web.state import PageState
from fbclip.decision import reject
from fbclip.errors import ConfigError
from tests.factories.page import NOW, PageTime, build_page, example_page, image, judged

LOCAL = "http://127.0.0.1:8088"


def access(token="t0ken-of-the-page-ä"):
    """An engineer's token."""
    return Access({Role.ENGINEER: token})


def client(sources, **options):
    return TestClient(create_app(sources, **options), base_url=LOCAL, follow_redirects=False)


def test_the_state_as_json():
    answer = client(example_page()).get("/api/state").json()
    belt, inbox = answer["lines"]
    assert (belt["verdict"], belt["z"], belt["threshold"], belt["stale"]) == ("anomaly", 3.2, 1.5, False)
    assert belt["grabbed"] == belt["inspected"] + belt["rejected"] + belt["dropped"] + belt["in_flight"]
    assert (inbox["verdict"], inbox["reason"], inbox["has_frame"]) == ("rejected", "<b>truncated</b>", False)
    assert answer["events"][0]["ended"] is None and answer["mqtt"] == "connected"


def test_only_a_silent_camera_is_stale():
    time = PageTime()
    page = client(example_page(time))
    time.now += 10.5
    assert [line["stale"] for line in page.get("/api/state").json()["lines"]] == [True, False]


def test_images():
    page = client(example_page())
    for kind in ("frame", "overlay"):
        answer = page.get(f"/lines/belt/{kind}.jpg")
        assert answer.headers["content-type"] == "image/jpeg" and answer.content.startswith(b"\xff\xd8")
    assert page.get("/lines/inbox/frame.jpg").status_code == 404
    assert page.get("/lines/nobody/frame.jpg").status_code == 404


def test_a_browser_keeps_what_does_not_change_and_asks_each_time_whether_it_may_show_it():
    page = client(example_page(), loopback=False, access=access("t0ken"))
    bearer = {"authorization": "Bearer t0ken"}
    for path in ("/inspections/1/image.jpg", "/inspections/1/heat.jpg", "/static/page.js"):
        first = page.get(path, headers=bearer)
        assert "no-cache" in first.headers["cache-control"] and "no-store" not in first.headers["cache-control"]
        again = page.get(path, headers=bearer | {"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["x-content-type-options"] == "nosniff"
    known = page.get("/inspections/1/image.jpg", headers=bearer).headers["etag"]
    assert page.get("/inspections/1/image.jpg", headers={"if-none-match": known}).status_code == 401
    for path in ("/", "/api/state", "/lines/belt/frame.jpg"):
        assert page.get(path, headers=bearer).headers["cache-control"] == "no-store"


def test_at_most_two_encodings_a_second():
    time = PageTime()
    state = example_page(time).state
    first = state.picture("belt", "frame")
    state.inspected(judged("belt", reject("black"), 255 - image()))
    assert state.picture("belt", "frame") is first
    time.now += 0.6
    assert state.picture("belt", "frame") != first


def test_health():
    assert client(example_page()).get("/healthz").json() == {"status": "ok"}
    answer = client(example_page(problems=("store: disk full",))).get("/healthz")
    assert answer.status_code == 503 and answer.json()["problems"] == ["store: disk full"]
    guarded = client(example_page(problems=("store: disk full",)), loopback=False, access=access("t0ken")).get(
        "/healthz"
    )
    assert guarded.status_code == 503 and "disk" not in guarded.text


def test_security_headers_and_escaping():
    sources = replace(example_page(), state=PageState("<script>alert(1)</script>"))
    answer = client(sources).get("/")
    assert "<script>alert" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8088", ""])
def test_foreign_host_names_are_refused_on_loopback(host):
    assert client(example_page()).get("/api/state", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:8088", "127.0.0.1", "[::1]:8088"])
def test_local_host_names_are_answered(host):
    assert client(example_page()).get("/", headers={"host": host}).status_code == 200


def test_elsewhere_a_token_is_needed():
    with pytest.raises(ValueError, match="token"):
        create_app(example_page(), loopback=False)
    page = client(example_page(), loopback=False, access=access())
    for path in ("/", "/api/state", "/lines/belt/frame.jpg", "/api/stream", "/inspections/1/image.jpg"):
        assert page.get(path).status_code == 401
    assert page.get("/", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert page.get("/", headers={"cookie": "agent_session=t0ken"}).status_code == 401
    assert page.get("/?token=wrong").status_code == 401


def test_bearer_and_cookie():
    page = client(example_page(), loopback=False, access=access("t0ken"))
    assert page.get("/", headers={"authorization": "Bearer t0ken"}).status_code == 200
    welcome = page.get("/?token=t0ken&x=1")
    assert welcome.status_code == 303 and welcome.headers["location"] == "/?x=1"
    cookie = welcome.headers["set-cookie"]
    assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and "t0ken" not in cookie
    assert page.get("/api/state").status_code == 200


def test_ready_or_not():
    assert client(example_page()).get("/readyz").json() == {"status": "ready"}
    answer = client(example_page(problems=("the detector hangs",)), loopback=False, access=access("t0ken")).get(
        "/readyz"
    )
    assert (answer.status_code, answer.json()) == (503, {"status": "not ready"})


def test_health_that_cannot_be_looked_at_is_not_healthy(monkeypatch):
    release = threading.Event()
    monkeypatch.setattr("agent.web.app.LOOK_S", 0.05)

    def hangs():
        release.wait(10)
        return ()

    example = build_page()
    monkeypatch.setattr(example.plant, "problems", hangs)
    monkeypatch.setattr(example.plant, "ready", lambda: bool(hangs()) or True)
    with client(example.sources) as page:
        assert page.get("/healthz").json()["problems"] == ["nothing answers inside the agent"]
        assert page.get("/readyz").status_code == 503
        release.set()


def test_guesses_are_slowed_down_and_those_who_are_in_stay_in():
    now = [0.0]
    app = Guard(
        create_app(example_page()), loopback=False, access=access("t0ken-of-the-page"), guesses=Guesses(lambda: now[0])
    )
    page = TestClient(app, base_url=LOCAL, follow_redirects=False)
    guest = TestClient(app, base_url=LOCAL, follow_redirects=False)
    assert guest.get("/?token=t0ken-of-the-page").status_code == 303
    codes = [page.get("/", headers={"authorization": f"Bearer {n}"}).status_code for n in range(15)]
    assert codes == [401] * 10 + [429] * 5
    # Not even a right guess tells that it was right.
    answer = page.get("/?token=t0ken-of-the-page")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    assert guest.get("/api/state").status_code == 200
    # Nobody is kept out who did not guess, and not for ever who did.
    assert page.get("/").status_code == 401
    now[0] = 61.0
    assert page.get("/", headers={"authorization": "Bearer t0ken-of-the-page"}).status_code == 200


def test_guesses_from_many_addresses_need_no_more_memory():
    guesses = Guesses(lambda: 0.0)
    for number in range(5000):
        guesses.wrong(f"10.0.{number // 256}.{number % 256}")
    assert len(guesses._wrong) == 1000


@pytest.mark.parametrize(("token", "fits"), [("x" * 15, False), ("x" * 16, True)])
def test_a_short_token_is_refused(monkeypatch, token, fits):
    monkeypatch.setenv("PAGE_TOKEN", token)
    section = WebSection(token_env="PAGE_TOKEN")
    if fits:
        assert page_access(section).strongest == token
    else:
        with pytest.raises(ConfigError, match=r"web\.token_env: the token in PAGE_TOKEN has fewer than 16 characters"):
            page_access(section)


def follow(verb, payload, _origin, reply):
    reply({"ok": verb == "reload", "verb": verb, "text": payload.decode()})
    return True


def test_a_command_is_handed_on_and_its_answer_returned():
    page = client(example_page(submit=follow))
    answer = page.post("/api/ctl/reload", json={})
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "verb": "reload", "text": "{}"})
    assert page.post("/api/ctl/fly", json={}).status_code == 422
    assert page.get("/api/ctl/reload").status_code == 405
    assert client(example_page()).post("/api/ctl/reload", json={}).status_code == 503


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        # A browser's own page must bring the proof that is written into it.
        ({"origin": "http://127.0.0.1:8088"}, 403),
        ({"sec-fetch-site": "same-origin"}, 403),
        ({}, 200),
        ({"host": "evil.example"}, 421),
    ],
)
def test_no_other_web_site_can_give_commands(headers, code):
    page = client(example_page(submit=follow))
    headers = {"content-type": "application/json"} | headers
    assert page.post("/api/ctl/reload", content=b"{}", headers=headers).status_code == code


def test_a_command_needs_the_token_where_there_is_one_and_has_a_size():
    page = client(example_page(submit=follow), loopback=False, access=access("t0ken-of-the-page"))
    assert page.post("/api/ctl/reload", json={}).status_code == 401
    bearer = {"authorization": "Bearer t0ken-of-the-page"}
    assert page.post("/api/ctl/reload", json={}, headers=bearer).status_code == 200
    assert page.post("/api/ctl/reload", json={"x": "y" * 9000}, headers=bearer).status_code == 413


def test_a_line_that_cannot_run_says_why_instead_of_that_it_has_no_profile():
    sources = example_page()
    sources.state.set_line("inbox", "line inbox: <x>.yaml: no such profile", LineCounters(), state="unavailable")
    text = client(sources).get("/lines/inbox").text
    assert "It does not run: line inbox: &lt;x&gt;.yaml: no such profile" in text and "there is a score" not in text


def test_the_page_of_a_line_shows_the_evidence_of_its_drift():
    sources = example_page()

    def shown(report):
        sources.state.set_line("belt", "playing", LineCounters(), drift=report)
        return client(sources).get("/lines/belt").text

    assert "Not watched: switched off" in shown(DriftReport("switched off"))
    assert "500 units since this profile: nothing shows" in shown(DriftReport(None, 500, 0.01))
    finding = DriftFinding("light_low", "pictures are darker", NOW, NOW, 80, 60, 0.28, 92.0, 3)
    found = shown(DriftReport(None, 500, 0.01, (finding,)))
    for text in ("Recalibrate", "one line in 100", "pictures are darker", "60 of 80 units (75 %)", ">28 %<", ">3<"):
        assert text in found


def test_lines_come_and_go_and_keep_what_they_show():
    state = example_page().state
    state.add_line("belt", "shadow", live=True)
    state.keep_lines(["belt", "moon"])
    (belt,) = state.snapshot()["lines"]
    assert (belt["name"], belt["mode"], belt["verdict"]) == ("belt", "shadow", "anomaly")
    # A last frame of a line that is gone is nobody's error.
    state.inspected(judged("inbox", reject("truncated", 1.1)))
    assert state.line_names == ("belt",)
