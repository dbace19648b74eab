"""What an engineer does on the page of a running agent: compare profiles, switch, roll back, judge back, calibrate."""

import re
import shutil

import pytest
from playwright.sync_api import expect, sync_playwright
from typer.testing import CliRunner

from agent.cli import app as agent_app
from calibrate.cli import app as calibrate_app
from calibrate.datasets.reader import read_data
from fbclip.artefacts.profile_file import load_profile, save_profile
from fbclip.files import file_sha256
from fbclip.memory.bank import load_memory
from tests.e2e.running_agent import SAMPLES, RunningAgent

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
NORMAL = SAMPLES / "inbox" / "tile_good_01.png"
DEFECT = SAMPLES / "inbox" / "tile_hole_09.png"


@pytest.fixture
def agent(tmp_path):
    """One hot folder, judged by the shipped profile, beside a shadow profile by which nothing is an anomaly."""
    profiles = tmp_path / "agent" / "profiles"
    shutil.copytree(SAMPLES / "profiles", profiles)
    own = load_profile(profiles / "inbox.yaml").profile
    blunt = own.model_copy(update={"threshold": 1e6, "uncertain_above": None})
    save_profile(blunt, profiles / "blunt.yaml")

    def change(config):
        (inbox,) = (line for line in config["lines"] if line["name"] == "inbox")
        inbox |= {"profile": "profiles/inbox.yaml", "shadow_profile": "profiles/blunt.yaml"}
        config["lines"] = [inbox]

    running = RunningAgent(tmp_path / "agent", change)
    running.start()
    yield running
    running.close()


@pytest.fixture
def page(agent):
    """In a tab that says yes to every question, and complains at the end about what was wrong in it."""
    wrong = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.set_default_timeout(20_000)
        tab.on("dialog", lambda one: one.accept())
        tab.on("console", lambda one: wrong.append(one.text) if one.type in ("error", "warning") else None)
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        yield Page(agent, tab)
        browser.close()
    assert wrong == []


def run(tool, *arguments):
    answer = CliRunner().invoke(tool, [str(one) for one in arguments])
    assert answer.exit_code == 0, answer.output


class Page:
    """The page of a running agent, as an engineer has it before him."""

    def __init__(self, agent, tab):
        self.agent, self.tab = agent, tab
        self.home = f"http://127.0.0.1:{agent.web_port}"
        self.card = tab.locator("[data-line=inbox]")
        self.audit = tab.get_by_role("region", name="Who changed what").locator("tbody tr")

    def open(self, path="/"):
        self.tab.goto(self.home + path)

    def change(self, button, choice=None):
        """On the line's own page, which then loads itself again and has one entry more of who did what."""
        self.open("/lines/inbox")
        entries = self.audit.count()
        panel = self.tab.get_by_role("region", name="Change", exact=True)
        if choice is not None:
            panel.get_by_label("Profile").select_option(choice)
        panel.get_by_role("button", name=button).click()
        expect(self.audit).to_have_count(entries + 1)

    def sees(self, picture, name, verdict):
        """A file is judged, and the overview says so by itself."""
        self.open()
        inspected = self.card.locator("[data-part=inspected]")
        expect(inspected).to_have_text(re.compile(r"\d"))
        before = int(inspected.inner_text())
        self.agent.drop(picture, name)
        expect(inspected).to_have_text(str(before + 1))
        expect(self.card.locator("[data-part=verdict]")).to_have_text(verdict)

    def says(self, inspection, word, note):
        self.open(f"/inspections/{inspection}")
        self.tab.get_by_label("Note").fill(note)
        self.tab.get_by_label("Your name").fill("Ann")
        self.tab.get_by_role("button", name=word).click()
        expect(self.tab.locator(".said li")).to_contain_text(f"by Ann (page): {note}")


def test_a_shadow_is_compared_switched_to_and_rolled_back(page):
    page.sees(NORMAL, "normal.png", "OK")
    page.sees(DEFECT, "defect.png", "ANOMALY")
    expect(page.card.locator("[data-part=shadow]")).to_have_text(
        "Shadow profile: 1 of 2 verdicts agree; alarms: this profile 1, shadow 0"
    )
    page.open("/lines/inbox")
    panel = page.tab.get_by_role("region", name="Shadow profile", exact=True)
    expect(panel).to_contain_text("1 of 2 verdicts agree")
    rows = [row.split() for row in panel.locator("tbody tr").all_inner_texts()]
    assert rows == [["ok", "1", "2"], ["uncertain", "0", "0"], ["anomaly", "1", "0"]]
    expect(panel.get_by_role("listitem")).to_have_count(1)
    expect(panel.get_by_role("listitem")).to_contain_text(re.compile(r"anomaly .* shadow ok"))
    # Who comes after sees what was judged by it, why, and may go back.
    page.change("Switch", "profiles/blunt.yaml")
    expect(page.tab.get_by_role("region", name="Calibration card")).to_contain_text("blunt.yaml")
    page.sees(DEFECT, "again.png", "OK")
    page.change("Roll back")
    expect(page.tab.get_by_role("region", name="Calibration card")).to_contain_text("inbox.yaml")
    page.sees(DEFECT, "and-again.png", "ANOMALY")
    page.open("/lines/inbox")
    for entry in page.audit.all_inner_texts():
        assert re.search(r"\tpage\tprofile inbox\tline inbox: profile", entry)


def test_what_is_said_on_the_page_reaches_calibrate(page, tmp_path):
    page.sees(DEFECT, "defect.png", "ANOMALY")
    page.sees(NORMAL, "normal.png", "OK")
    page.says(1, "False alarm", "a glare")
    page.says(2, "Missed defect", "=a scratch")
    said, memory = tmp_path / "said", SAMPLES / "memories" / "inbox"
    run(agent_app, "export", "--out", said, "-c", page.agent.config)
    run(calibrate_app, "data", said)
    found = {sample.label: sample for sample in read_data(said).samples}
    assert [found[label].path.read_bytes() for label in (0, 1)] == [DEFECT.read_bytes(), NORMAL.read_bytes()]
    run(calibrate_app, "memory", said, "--add", memory, "--keep-outliers", "--out", tmp_path / "more")
    before, after = (load_memory(path).manifest.provenance["pictures"] for path in (memory, tmp_path / "more"))
    # The false alarm is normal now; the missed defect never is.
    assert after == [*before, file_sha256(DEFECT)]
