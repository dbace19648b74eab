"""The page in a real browser, over a real socket and a real store."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agent.records import LineCounters
from agent.store.audit import Said
from agent.store.views import EventQuery
from agent.web.access import Access, Role
from agent.web.app import create_app
from agent.web.server import WebServer
from agent.web.stream import StateStream
from tests.factories.page import ExamplePage, all_well, build_page, found_something

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
PAGES = ("/", "/events", "/inspections/1", "/inspections/2", "/lines/belt", "/lines/inbox", "/system", "/nothing")
TOKEN = "operators-of-the-night-shift"


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@dataclass(frozen=True)
class Served:
    """An example page at `url`."""

    page: ExamplePage
    url: str


@pytest.fixture
def serve():
    running = []

    def start(access: Access | None = None) -> Served:
        page = build_page(time.monotonic)
        # States come often, so that the test is quick.
        stream = StateStream(page.sources.snapshot_json, every_s=0.1, stream_s=2.0)
        server = WebServer(create_app(page.sources, access=access, stream=stream), "127.0.0.1", 0)
        server.start()
        running.append((server, page))
        return Served(page, f"http://127.0.0.1:{server.port}")

    yield start
    for server, page in running:
        server.stop()
        page.database.close()


@pytest.fixture
def visit(browser):
    """A tab that complains at the end about errors in its console and questions to anybody but the agent."""
    wrong, contexts = [], []

    def open_tab(url: str, also=(), **options):
        context = browser.new_context(**options)
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(10_000)
        home = re.match(r"https?://[^/]+", url)[0]
        tab.on("console", lambda one: wrong.append(one.text) if one.type in ("error", "warning") else None)
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("request", lambda one: None if one.url.startswith((home, "data:", *also)) else wrong.append(one.url))
        tab.goto(url)
        return tab

    yield open_tab
    for context in contexts:
        context.close()
    # The browser itself tells of an answer that says there is no such page.
    assert [text for text in wrong if "status of 404" not in text and "status of 401" not in text] == []


def until(condition, what):
    """Another process acts; there is no event to wait on."""
    end = time.monotonic() + 10
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return found


def test_the_overview_shows_verdicts_and_changes_by_itself(serve, visit):
    served = serve()
    tab = visit(served.url)
    belt = tab.locator("[data-line=belt]")
    belt.locator("text=ANOMALY").first.wait_for()
    assert tab.locator("[data-line=inbox] .verdict").get_by_text("NO VERDICT").is_visible()
    # What a file is called is never markup.
    assert tab.get_by_text("<b>truncated</b>").first.is_visible() and tab.locator("td b").count() == 0
    assert "overlay.jpg?n=1" in belt.locator("[data-part=picture]").get_attribute("src")
    served.page.happens(all_well())
    belt.locator(".verdict").get_by_text("OK", exact=True).wait_for()
    assert belt.locator("[data-part=z]").text_content() == "0.40"
    # An alarm appears as it comes, also after the browser had to ask for the stream again.
    tab.wait_for_timeout(2500)
    served.page.happens(found_something(), "e3")
    belt.locator(".verdict").get_by_text("ANOMALY").wait_for()
    tab.locator("#events tr").nth(2).wait_for()
    assert belt.locator(".trend rect.a").count() >= 1
    assert tab.locator("#lost").is_hidden()


def test_names_from_outside_are_text_of_which_everything_is_seen(serve, visit):
    served = serve()
    nasty = "\u202eenil\u202c <script>alert(1)</script>"
    served.page.audit.add_feedback(2, Said("normal", f"note {nasty}", f"by {nasty}", "page"))
    served.page.state.set_line("belt", f"folder {nasty} cannot be read", LineCounters())
    tab = visit(f"{served.url}/inspections/2")
    found = tab.locator("main").inner_text()
    assert r"/in/<img src=x onerror=alert(1)>\u202egnp.exe\u202c\x07.png" in found
    assert r"note \u202eenil\u202c <script>" in found and r"by \u202eenil\u202c" in found
    assert "\u202e" not in found and tab.locator("main img, main script").count() == 0
    tab.goto(served.url)
    tab.get_by_text(r"folder \u202eenil\u202c <script>alert(1)</script> cannot be read").wait_for()
    assert "\u202e" not in tab.locator("body").inner_text()


def test_one_touch_lands_in_the_store_with_the_name_and_the_note(serve, visit):
    served = serve()
    tab = visit(served.url)
    tab.locator("[data-line=belt] [data-part=alarm]").get_by_role("button", name="False alarm").click()
    until(lambda: served.page.sources.views.feedback([1]), "feedback in the store")
    assert served.page.sources.views.feedback([1])[1].label == "normal"
    tab.get_by_text("good part").first.wait_for()
    missed = served.page.happens(all_well())
    tab.goto(f"{served.url}/inspections/{missed}")
    tab.get_by_label("Note").fill("scratch on the <edge>")
    tab.get_by_label("Your name").fill("Ann")
    tab.get_by_role("button", name="Missed defect").click()
    tab.get_by_text("scratch on the <edge>").wait_for()
    (said,) = served.page.sources.views.feedback_on(missed)
    assert (said.label, said.note, said.by, said.origin) == ("anomalous", "scratch on the <edge>", "Ann", "page")
    # The picture of one that was ok is in memory only, until somebody says that it was not.
    row = served.page.sources.reader.inspection(missed)
    assert row.image_ref and (served.page.sources.data_dir / row.image_ref).is_file()
    # The name is remembered for the next touch.
    tab.goto(f"{served.url}/events")
    tab.locator("tr[data-event=e1]").get_by_role("button", name="Correct").click()
    until(lambda: len(served.page.sources.views.feedback_on(1)) == 2, "the second word")
    assert served.page.sources.views.feedback([1])[1].by == "Ann"


def test_events_are_filtered_and_say_why(serve, visit):
    served = serve()
    tab = visit(f"{served.url}/events", timezone_id="Asia/Tokyo")
    rows = tab.locator("tbody tr")
    assert rows.count() == 2
    assert "<b>truncated</b>" in rows.nth(0).text_content() and "shadow" in rows.nth(0).text_content()
    # Local, with UTC on hover.
    assert "2026-03-04T12:35:00" in rows.nth(0).locator("time").first.get_attribute("title")
    assert "9:35" in rows.nth(0).locator("time").first.text_content()
    tab.get_by_label("Kind").select_option("anomaly")
    tab.get_by_role("button", name="Show").click()
    tab.wait_for_url("**kind=anomaly**")
    assert rows.count() == 1 and "belt" in rows.nth(0).text_content()
    tab.goto(f"{served.url}/events")
    # 21:33 in Tokyo lies between the two.
    tab.get_by_label("From").fill("2026-03-04T21:33")
    tab.get_by_role("button", name="Show").click()
    tab.wait_for_url("**from_tz=-540**")
    assert rows.count() == 1 and "inbox" in rows.nth(0).text_content()
    tab.goto(f"{served.url}/events?line=moon")
    assert tab.get_by_text("None that fit these filters").is_visible()
    served.page.happens(found_something(), "e9")
    tab.get_by_text("There are newer events").wait_for()


def test_what_was_drawn_with_the_page_does_not_grow_old(serve, visit):
    served = serve()
    tab = visit(f"{served.url}/lines/belt")
    tab.clock.install()
    tab.goto(f"{served.url}/lines/belt")
    rows = tab.locator("#history tbody tr")
    assert rows.count() == 1
    served.page.happens(all_well())
    tab.clock.fast_forward(10_000)
    rows.nth(1).wait_for()
    # Times are local there, too, and what somebody is busy with stays as it is.
    assert "UTC" in rows.nth(0).locator("time").get_attribute("title")
    rows.nth(0).get_by_role("link").focus()
    served.page.happens(all_well())
    with tab.expect_response(f"{served.url}/lines/belt") as asked:
        tab.clock.fast_forward(10_000)
    asked.value.finished()
    assert rows.count() == 2


def test_a_touch_meant_for_an_alarm_that_has_just_gone_judges_no_other(serve, visit):
    served = serve()
    tab = visit(served.url)
    group = tab.locator("[data-line=belt] [data-part=alarm] .judge")
    group.get_by_role("button", name="False alarm").wait_for()
    # The next alarm takes the place of the first one in the moment of the touch.
    touched = tab.evaluate_handle(
        """() => ({ done: new Promise((found) => {
          const group = document.querySelector("[data-line=belt] [data-part=alarm] .judge");
          new MutationObserver(() => { group.querySelector("[data-label=normal]").click(); found(true); })
            .observe(group, { attributeFilter: ["data-inspection"] });
        }) })"""
    )
    later = served.page.happens(found_something(), "e3")
    assert touched.evaluate("(one) => one.done") is True
    tab.get_by_text("A newer alarm has just come").wait_for()
    assert served.page.sources.views.feedback([1, later]) == {}
    tab.wait_for_timeout(800)
    group.get_by_role("button", name="False alarm").click()
    until(lambda: served.page.sources.views.feedback([later]), "feedback on what was seen")


def test_an_inspection_with_its_pictures_side_by_side(serve, visit):
    served = serve()
    tab = visit(f"{served.url}/inspections/1")
    sizes = tab.evaluate("[...document.querySelectorAll('main img')].map((i) => [i.naturalWidth, i.naturalHeight])")
    assert sizes == [[320, 240], [320, 240]]
    box = tab.locator(".boxes rect").bounding_box()
    image = tab.locator(".boxed img").bounding_box()
    assert abs((box["x"] - image["x"]) / image["width"] - 120 / 320) < 0.01
    with tab.expect_download() as download:
        tab.get_by_role("link", name="Download").first.click()
    assert download.value.suggested_filename == "inspection-1-image.jpg"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible_fits_a_phone_and_has_both_themes(serve, visit, scheme):
    import axe_core_python

    axe = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    served = serve()
    served.page.audit.add_feedback(1, Said("anomalous", "seen", "Ann", "page"))
    # The checker is brought in past the policy of the page.
    closed, empty = serve(Access({Role.ENGINEER: TOKEN})), serve()
    empty.page.state.keep_lines([])
    phone = {"viewport": {"width": 390, "height": 844}, "bypass_csp": True}
    tab = visit(served.url, also=(closed.url, empty.url), color_scheme=scheme, **phone)
    tab.locator("text=ANOMALY").first.wait_for()
    dark = tab.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] < 60")
    assert dark is (scheme == "dark")
    served.page.state.set_line("inbox", "a-folder-with-a-rather-long-name: " + "no such folder " * 5, LineCounters())
    for path in (*(served.url + path for path in PAGES), f"{closed.url}/login?wrong=1", empty.url):
        if path != f"{served.url}/":
            tab.goto(path)
        wide = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} is {wide} px too wide"
        tab.evaluate(axe)
        found = tab.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
        faults = [
            (one["id"], [node["target"] for node in one["nodes"]])
            for one in found
            if one["impact"] in ("moderate", "serious", "critical")
        ]
        assert faults == [], path


def test_by_keyboard_alone(serve, visit):
    served = serve()
    tab = visit(served.url)
    tab.locator("[data-part=alarm] .judge").first.wait_for()
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to content"
    for _ in range(40):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.textContent") == "Correct":
            break
    outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    tab.keyboard.press("Enter")
    until(lambda: served.page.sources.views.feedback([1]), "feedback by keyboard")


def test_roles_sign_in_see_and_may_what_is_theirs(serve, visit):
    served = serve(Access({Role.OPERATE: TOKEN, Role.ENGINEER: TOKEN + "-engineer"}))
    tab = visit(f"{served.url}/")
    assert tab.url.endswith("/login")
    tab.get_by_label("Token").fill("no such token at all")
    tab.get_by_role("button", name="Sign in").click()
    tab.get_by_text("That token is not known").wait_for()
    tab.get_by_label("Token").fill(TOKEN)
    tab.get_by_label("Your name").fill("Bert")
    tab.get_by_role("button", name="Sign in").click()
    tab.get_by_text("Bert: operate").wait_for()
    assert TOKEN not in tab.context.cookies()[0]["value"]
    tab.locator("[data-line=belt] [data-part=alarm]").get_by_role("button", name="Correct").click()
    until(lambda: served.page.sources.views.feedback([1]), "feedback of an operator")
    assert served.page.sources.views.feedback([1])[1].by == "Bert"
    tab.goto(f"{served.url}/lines/belt")
    assert tab.get_by_role("button", name="Switch").count() == 0
    tab.get_by_role("button", name="Sign out").click()
    tab.wait_for_url("**/login")
    tab.goto(f"{served.url}/system")
    assert tab.url.endswith("/login")


def test_an_engineer_switches_a_profile_from_its_card(serve, visit):
    served = serve()
    tab = visit(f"{served.url}/lines/belt")
    assert tab.get_by_role("region", name="What it sees").locator("tbody tr").count() >= 3
    assert tab.locator(".histogram .bar").count() > 10
    tab.on("dialog", lambda one: one.accept())
    tab.get_by_role("button", name="Switch").click()
    tab.get_by_text("profile was followed").wait_for()


def test_a_page_that_lost_the_agent_says_so(serve, browser):
    served = serve()
    tab = browser.new_page()
    tab.goto(served.url)
    tab.locator("text=ANOMALY").first.wait_for()
    tab.context.set_offline(True)
    # Its streams end, and no new one begins.
    tab.get_by_text("Connection lost").wait_for(timeout=15_000)
    tab.context.set_offline(False)
    tab.locator("#lost").wait_for(state="hidden", timeout=15_000)
    tab.close()


def test_the_events_of_other_times_are_a_page_further(serve, visit):
    served = serve()
    for number in range(60):
        served.page.happens(replace(found_something()), f"many-{number}")
    tab = visit(f"{served.url}/events")
    assert tab.locator("tbody tr").count() == 40
    tab.get_by_role("link", name="Older events").click()
    tab.wait_for_url("**before=**")
    assert tab.locator("tbody tr").count() == 22
    assert len(served.page.sources.views.events(EventQuery(limit=100))) == 62
