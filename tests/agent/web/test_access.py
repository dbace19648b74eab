"""Roles: what proves them, what each may, and that nothing a browser sends by itself changes anything."""

import json
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from agent.config.services import WebSection
from agent.web.access import Access, Caller, Role, Sessions, page_access
from agent.web.app import create_app
from agent.web.images import inside_pictures
from fbclip.errors import ConfigError
from tests.factories.page import build_page, example_page

LOCAL = "http://127.0.0.1:8088"
TOKENS = {role: f"the-token-to-{role.word}-with" for role in Role}
SECRET = "what-only-the-proxy-knows"


def heard():
    """What reached the agent, and a way in for it."""
    told = []

    def submit(verb, payload, origin, reply):
        told.append((verb, json.loads(payload), origin))
        reply({"ok": True, "text": "done"})
        return True

    return told, submit


def client(sources, access, **options):
    app = create_app(sources, access=access, **options)
    return TestClient(app, base_url=LOCAL, follow_redirects=False)


def bearer(role):
    return {"authorization": f"Bearer {TOKENS[role]}"}


@pytest.mark.parametrize(
    ("verb", "least"),
    [("feedback", Role.OPERATE), ("ack", Role.OPERATE), ("trigger", Role.OPERATE), ("profile", Role.ENGINEER),
     ("threshold", Role.ENGINEER), ("disable", Role.ENGINEER), ("reload", Role.ENGINEER)],
)  # fmt: skip
def test_each_role_may_what_is_its_own(verb, least):
    told, submit = heard()
    page = client(example_page(submit=submit), Access(TOKENS))
    for role in Role:
        answer = page.post(f"/api/ctl/{verb}", json={}, headers=bearer(role))
        assert answer.status_code == (200 if role >= least else 403), (verb, role)
        assert page.get("/api/state", headers=bearer(role)).status_code == 200
    assert len(told) == len([role for role in Role if role >= least])


def sign_in(page, role, name="Ann"):
    answer = page.post("/login", data={"token": TOKENS[role], "name": name}, headers={"origin": LOCAL})
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    text = page.get("/").text
    return text.split('name="csrf" content="')[1].split('"')[0]


def test_a_session_needs_its_proof_and_signs_what_it_does():
    told, submit = heard()
    page = client(example_page(submit=submit), Access(TOKENS))
    proof = sign_in(page, Role.ENGINEER)
    told_off = [{}, {"x-csrf-token": "0" * 64}, {"x-csrf-token": proof, "origin": "http://evil.example"}]
    for headers in told_off:
        assert page.post("/api/ctl/reload", json={}, headers=headers).status_code == 403
    assert told == []
    # Whatever else it calls itself.
    answer = page.post("/api/ctl/reload", json={"by": "somebody else"}, headers={"x-csrf-token": proof})
    assert answer.status_code == 200
    assert told == [("reload", {"by": "Ann"}, "page")]
    # The proof of one session is none for another.
    other = client(example_page(submit=submit), Access(TOKENS))
    sign_in(other, Role.ENGINEER, "Bert")
    assert other.post("/api/ctl/reload", json={}, headers={"x-csrf-token": proof}).status_code == 403


def test_a_session_cannot_be_made_raised_or_outlive_its_token():
    now = [1000.0]
    sessions = Sessions(Access(TOKENS), lambda: now[0])
    cookie = sessions.cookie(Role.VIEW, "Ann")
    assert sessions.read(cookie) == Caller(Role.VIEW, "Ann", "cookie")
    text, _, signature = cookie.partition(".")
    raised = (
        Sessions(Access({Role.ENGINEER: "another-token-altogether"})).cookie(Role.ENGINEER, "Ann").partition(".")[0]
    )
    for forged in (
        "",
        ".",
        "x",
        f"{raised}.{signature}",
        f"{text}.{'0' * 64}",
        f"{text}x.{signature}",
        "é.é",
        cookie[:-1],
    ):
        assert sessions.read(forged) is None
    assert TOKENS[Role.VIEW] not in cookie
    changed = Access(TOKENS | {Role.VIEW: "a-new-token-to-view-with"})
    assert Sessions(changed, lambda: now[0]).read(cookie) is None
    # A restart ends none.
    assert Sessions(Access(TOKENS), lambda: now[0]).read(cookie) is not None
    now[0] += 31 * 86_400
    assert sessions.read(cookie) is None


def test_the_form_counts_guesses_and_answers_no_other_site():
    page = client(example_page(), Access(TOKENS), loopback=False)
    foreign = page.post("/login", data={"token": TOKENS[Role.VIEW]}, headers={"origin": "http://evil.example"})
    assert foreign.status_code == 403
    for _ in range(10):
        assert page.post("/login", data={"token": "wrong"}).headers["location"] == "/login?wrong=1"
    # Not even the right one, for a minute.
    assert page.post("/login", data={"token": TOKENS[Role.VIEW]}).headers["location"] == "/login?wait=1"
    assert page.post("/login", content=b"x" * 5000).status_code == 413
    assert page.get("/", headers={"accept": "text/html"}).headers["location"] == "/login"
    assert page.get("/login").status_code == 200 and "belt" not in page.get("/login").text


def test_a_proxy_that_proves_itself_says_who_it_is():
    told, submit = heard()
    page = client(example_page(submit=submit), Access(proxy_secret=SECRET), loopback=False)
    by_proxy = {"x-agent-proxy": SECRET, "x-forwarded-user": "carol", "host": "line7.plant.example"}
    text = page.get("/", headers=by_proxy).text
    assert "Overview" in text
    # Without a role it may look.
    proof = {"x-csrf-token": text.split('name="csrf" content="')[1].split('"')[0]}
    assert page.post("/api/ctl/feedback", json={}, headers=by_proxy | proof).status_code == 403
    engineer = by_proxy | {"x-forwarded-role": "engineer"}
    assert page.post("/api/ctl/reload", json={}, headers=engineer).status_code == 403
    assert page.post("/api/ctl/reload", json={}, headers=engineer | proof).status_code == 200
    assert told == [("reload", {"by": "carol"}, "ctl")]
    for headers in ({"x-forwarded-user": "carol", "x-forwarded-role": "engineer"}, engineer | {"x-agent-proxy": "x"}):
        assert page.get("/api/state", headers=headers).status_code == 401


def test_tokens_come_from_the_environment_and_tell_roles_apart(monkeypatch):
    monkeypatch.setenv("E", "e" * 16)
    monkeypatch.setenv("V", "v" * 16)
    access = page_access(WebSection(token_env="E", view_token_env="V"))
    assert (access.role_of("e" * 16), access.role_of("v" * 16), access.role_of("x")) == (Role.ENGINEER, Role.VIEW, None)
    assert access.strongest == "e" * 16
    assert "eeee" not in repr(access)
    with pytest.raises(ConfigError, match="two roles have the same token"):
        page_access(WebSection(token_env="E", operate_token_env="E"))
    with pytest.raises(ConfigError, match=r"web.proxy.secret_env: the environment variable P is not set"):
        page_access(WebSection(proxy={"secret_env": "P"}))


@pytest.mark.parametrize(
    "path",
    ["/inspections/1/../../agent.db", "/inspections/..%2f..%2fagent.db/image.jpg", "/static/../guard.py",
     "/static/..%2f..%2faccess.py", "/lines/..%2f..%2fagent.db/frame.jpg", f"/inspections/{10**25}/image.jpg"],
)  # fmt: skip
def test_no_address_leads_out_of_the_pictures(path):
    answer = client(example_page(), Access()).get(path)
    assert answer.status_code == 404 and b"SQLite" not in answer.content and b"import" not in answer.content


def test_what_the_database_names_outside_the_pictures_is_not_sent_either(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "secret.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "pictures" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    assert inside_pictures(tmp_path, "pictures/a.jpg")
    for ref in ("pictures/../secret.jpg", "/etc/passwd", "pictures/link.jpg", "secret.jpg", "pictures/a.txt"):
        assert inside_pictures(tmp_path, ref) is None


def test_pictures_of_a_private_line_are_shown_to_nobody():
    page = build_page()
    tab = client(page.sources, Access())
    assert tab.get("/inspections/1/heat.jpg").status_code == 200
    page.plant.private = ("belt",)
    for path in ("/inspections/1/image.jpg", "/inspections/1/heat.jpg"):
        assert tab.get(path).status_code == 404
    text = tab.get("/inspections/1").text
    assert "private" in text and "<img" not in text and "abababab" not in text
    page.database.close()


def test_a_store_that_cannot_be_read_is_said_on_the_page():
    page = build_page()
    broken = replace(page.sources, views=BrokenViews())
    answer = client(broken, Access()).get("/events")
    assert answer.status_code == 503 and "The store cannot be read now" in answer.text
    page.database.close()


class BrokenViews:
    def __getattr__(self, name):
        from agent.errors import StoreError

        def fails(*_args, **_options):
            raise StoreError("disk gone")

        return fails
