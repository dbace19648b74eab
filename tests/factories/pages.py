"""Pages of `calibrate report`: read by a parser, and drawn by a real browser where there is one."""

import json
import re
import shutil
import subprocess
from html import escape, unescape
from html.parser import HTMLParser

import pytest

from calibrate.report.page import render
from calibrate.report.reading import read_run
from tests.factories.runs import run_document, sample_rows, write_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """The page's elements, with a stack that must come out even."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    @property
    def headings(self):
        return {a["id"] for t, a in self.tags if t == "h2"}

    def all(self, tag):
        return [a for t, a in self.tags if t == tag]


def page_of(folder, rows=None, **changes):
    rows = sample_rows() if rows is None else rows
    return Page(render(read_run(write_run(folder, rows, run_document(rows, **changes)))))


def browse(tmp_path, page):
    return subprocess.run(
        [
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={tmp_path / 'browser'}",
            "--enable-logging=stderr",
            "--window-size=1400,900",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


# What sticks out of its section or of the page. A window can hardly be as narrow as a phone, a frame can.
MEASURE = """<script>
const out = [];
for (const e of document.querySelectorAll("body *")) {
  const box = e.getBoundingClientRect(), card = (e.closest("section") || document.body).getBoundingClientRect();
  const hidden = innerWidth < 701 && e.closest("thead");
  if (box.width && !hidden && (box.right > card.right + 1 || box.left < card.left - 1))
    out.push(e.outerHTML.slice(0, 90));
}
parent.document.documentElement.dataset.result = JSON.stringify({
  width: innerWidth, scroll: document.documentElement.scrollWidth, out,
  charts: [...document.querySelectorAll("svg")].filter(e => e.getBoundingClientRect().height > 150).length,
});
</script>"""


def measure_layout(tmp_path, text, width):
    """What a browser finds of the page's text in a frame of this width."""
    # The page itself lets no script run, so a copy without its policy is measured.
    inner = escape(re.sub(r"<meta http-equiv[^>]+>", "", text).replace("<details>", "<details open>") + MEASURE)
    page = tmp_path / "page.html"
    page.write_text(f'<!doctype html><iframe srcdoc="{inner}" width="{width}" height="900">', encoding="utf-8")
    return json.loads(unescape(re.search(r'data-result="([^"]*)"', browse(tmp_path, page).stdout)[1]))
