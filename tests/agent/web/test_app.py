"""The page: what it shows and who may see it."""

import pytest
from starlette.testclient import TestClient

from agent.web.app import PageSources, create_app
from agent.web.state import PageState
from fbclip.decision import reject
from tests.factories.page import PageTime, example_page, image, judged, nobody_follows

LOCAL = "http://127.0.0.1:8088"


def client(sources, **options):
    return TestClient(create_app(sources, **options), base_url=LOCAL, follow_redirects=False)


def test_the_state_as_json():
    answer = client(example_page()).get("/api/state").json()
    belt, inbox = answer["lines"]
    assert (belt["verdict"], belt["z"], belt["threshold"], belt["stale"]) == ("anomaly", 3.2, 1.5, False)
    assert belt["grabbed"] == belt["inspected"] + belt["rejected"] + belt["dropped"] + belt["in_flight"]
    assert (inbox["verdict"], inbox["reason"], inbox["has_frame"]) == ("rejected", "truncated", False)
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


def test_at_most_two_encodings_a_second():
    time = PageTime()
    state = example_page(time).state
    first = state.frame_jpeg("belt")
    state.inspected(judged("belt", reject("black"), 255 - image()))
    assert state.frame_jpeg("belt") is first
    time.now += 0.6
    assert state.frame_jpeg("belt") != first


def test_health():
    assert client(example_page()).get("/healthz").json() == {"status": "ok"}
    answer = client(example_page(problems=("store: disk full",))).get("/healthz")
    assert answer.status_code == 503 and answer.json()["problems"] == ["store: disk full"]
    guarded = client(example_page(problems=("store: disk full",)), loopback=False, token="t0ken").get("/healthz")
    assert guarded.status_code == 503 and "disk" not in guarded.text


def test_security_headers_and_escaping():
    sources = PageSources(PageState("<script>alert(1)</script>"), tuple, tuple, bool, nobody_follows)
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
    page = client(example_page(), loopback=False, token="t0ken-ä")
    for path in ("/", "/api/state", "/lines/belt/frame.jpg", "/static/page.js"):
        assert page.get(path).status_code == 401
    assert page.get("/", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert page.get("/", headers={"cookie": "agent_session=t0ken"}).status_code == 401
    assert page.get("/?token=wrong").status_code == 401


def test_bearer_and_cookie():
    page = client(example_page(), loopback=False, token="t0ken")
    assert page.get("/", headers={"authorization": "Bearer t0ken"}).status_code == 200
    welcome = page.get("/?token=t0ken&x=1")
    assert welcome.status_code == 303 and welcome.headers["location"] == "/?x=1"
    cookie = welcome.headers["set-cookie"]
    assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and "t0ken" not in cookie
    assert page.get("/api/state").status_code == 200
