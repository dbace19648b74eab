"""`calibrate report` on run folders as `calibrate evaluate` writes them, read by a parser and by a real browser."""

import csv
import json
import re
import shutil
import subprocess
from collections import Counter
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image, ImageDraw
from scipy.stats import binom
from typer.testing import CliRunner

from calibrate.commands.evaluate import evaluate as evaluate_command
from calibrate.commands.report import report
from calibrate.embedded.samples.products import inbox_part
from calibrate.errors import DataError, RefusedError
from calibrate.report import reading
from calibrate.report import rows as rows_file
from calibrate.report.counts import Share, by_kind
from calibrate.report.histogram import Marks, make_bins
from calibrate.report.page import render
from calibrate.report.reading import read_run, with_profile
from calibrate.report.wording import percent
from fbclip.artefacts.profile_file import load_profile

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
PROFILE = Path(__file__).parents[2] / "deploy" / "samples" / "profiles" / "inbox.yaml"
MEMORY = PROFILE.parents[1] / "memories" / "inbox"
VOID = {"meta", "link", "img", "br", "hr", "input"}

THRESHOLD, UNCERTAIN = 1.53, 1.1
KINDS = ("scratch", "stain", "dent")


def samples(seed=3, classes=("tile",), n_good=120, n_bad=80):
    """Rows of samples.csv: good z around 0, anomalous ones around 3, dents close to the good."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n_good + n_bad):
        anomalous = i >= n_good
        kind = KINDS[i % 3] if anomalous else ""
        z = rng.normal({"scratch": 3.4, "stain": 2.6, "dent": 1.7}[kind], 0.8) if anomalous else rng.normal(0, 0.55)
        verdict = "anomaly" if z > THRESHOLD else "uncertain" if z > UNCERTAIN else "ok"
        margin = 0.4 * z - 0.3 + rng.normal(0, 0.05)
        label = "defective" if anomalous else "good"
        path = f"test/{kind or 'good'}/{i:03d}.png"
        score = 1 / (1 + np.exp(-margin))
        rows.append([path, classes[i % len(classes)], label, kind, f"u{i:03d}", margin, score, z, verdict, f"{i:064x}"])
    return rows


def curve(rows, class_name):
    """ROC and PR of the rows' z, point by point."""
    mine = sorted((r for r in rows if r[1] == class_name), key=lambda r: -r[7])
    anomalous = np.cumsum([r[2] == "defective" for r in mine])
    normal = np.arange(1, len(mine) + 1) - anomalous
    roc = [
        [0.0, 0.0],
        *([float(f), float(t)] for f, t in zip(normal / normal[-1], anomalous / anomalous[-1], strict=True)),
    ]
    pr = [[0.0, 1.0], *([float(t / anomalous[-1]), float(t / (t + f))] for t, f in zip(anomalous, normal, strict=True))]
    pro = [[x / 50, 1 - (1 - x / 50) ** 4] for x in range(51)]
    return {"roc": roc, "pr": pr, "pro": pro}


def counts(rows):
    """Units by verdict; here every row is a unit."""
    return dict(Counter(r[8] for r in rows))


def evaluation(rows, **changes):
    kinds = sorted({r[3] for r in rows if r[3]})
    names = list(dict.fromkeys(r[1] for r in rows))
    metrics = {
        "image_auroc": 0.9731,
        "image_ap": 0.9622,
        "image_f1_max": 0.91,
        "pixel_auroc": 0.981,
        "pixel_ap": 0.61,
        "pixel_f1_max": 0.6,
        "pixel_aupro": 0.9123,
    }
    normal = sum(r[2] == "good" for r in rows)
    calibration = {
        "method": "order-statistic",
        "unit": "file",
        "n_good": 299,
        "n_constants": 74,
        "n_bad": 0,
        "exceedances": 0,
        "target": 0.01,
        "confidence": 0.95,
        "uncertain_target": 0.05,
        "guarantee": {"false_alarm_rate": 0.01, "confidence": 0.95},
        "quantiles": {"0.5": 0.02, "1": THRESHOLD},
        "data_sha256": "ab" * 32,
    }
    return {
        "schema": "calibrate.evaluation/1",
        "created": "2026-11-24T10:20:30Z",
        "data": {
            "name": "ceramic tiles, week 47",
            "layout": "mvtec",
            "data_sha256": "cd" * 32,
            "n_good": normal,
            "n_defective": len(rows) - normal,
            "n_units": len(rows),
            "skipped": ["test/dent/777.png: truncated"],
        },
        "model": {
            "backbone": "ViT-L-14-336",
            "backbone_sha256": "ef" * 32,
            "adapter": "12" * 32,
            "device": "cpu",
            "precision": "float32",
            "size": 518,
        },
        "framing": {"roi": None, "tiling": None, "ignore_mask": False},
        "profile": {
            "id": "34" * 32,
            "line": "tiles",
            "threshold": THRESHOLD,
            "uncertain_above": UNCERTAIN,
            "map_limits": [-0.64, 0.68],
            "calibration": calibration,
        },
        "classes": dict.fromkeys(names, metrics),
        "mean": metrics,
        "confusion": {"units": {name: counts(r for r in rows if r[2] == name) for name in ("good", "defective")}},
        "kinds": {name: {k: counts(r for r in rows if r[1] == name and r[3] == k) for k in kinds} for name in names},
        "curves": {name: curve(rows, name) for name in names},
        "worst": [
            *(
                {
                    "file": f"worst/{i:02d}_false_alarm.jpg",
                    "path": f"test/good/{i:03d}.png",
                    "kind": "false_alarm",
                    "score": 2.1 - i / 10,
                }
                for i in range(1, 4)
            ),
            *(
                {
                    "file": f"worst/{i:02d}_miss.jpg",
                    "path": f"test/dent/{i:03d}.png",
                    "kind": "miss",
                    "score": 0.1 + i / 10,
                }
                for i in range(4, 7)
            ),
        ],
        "notes": ["test/good/004.png: the same image as test/good/003.png; left out"],
        "definition": "exact",
        "command": ["calibrate", "evaluate", "data/tiles 47", "--profile", "tiles.yaml", "--out", "run"],
        "versions": {"python": "3.11.9", "torch": "2.8.0", "fbclip-inspect": "0.1.0"},
    } | changes


COLUMNS = ("path", "class", "label", "kind", "unit", "margin", "score", "z", "verdict", "sha256")


def write_run(folder, rows, data):
    (folder / "worst").mkdir(parents=True)
    (folder / "evaluation.json").write_text(json.dumps(data), encoding="utf-8")
    with (folder / "samples.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    for i, about in enumerate(data["worst"]):
        image = Image.effect_noise((480, 240), 20).convert("RGB")
        draw = ImageDraw.Draw(image)
        draw.ellipse((60 + 10 * i, 80, 120 + 10 * i, 150), fill=(60, 50, 45))
        draw.ellipse((300 + 10 * i, 80, 360 + 10 * i, 150), fill=(202, 42, 4))
        image.save(folder / about["file"], quality=80)
    return folder


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
    rows = samples() if rows is None else rows
    return Page(render(read_run(write_run(folder, rows, evaluation(rows, **changes)))))


@pytest.fixture
def run_folder(tmp_path):
    rows = samples()
    return write_run(tmp_path / "run", rows, evaluation(rows))


def call(*arguments, command=report):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_the_command_writes_one_whole_page(run_folder, tmp_path):
    before = set(run_folder.iterdir())
    answer = call(run_folder)
    assert answer.exit_code == 0, answer.output
    assert set(run_folder.iterdir()) - before == {run_folder / "report.html"}
    text = (run_folder / "report.html").read_text(encoding="utf-8")
    assert call(run_folder, "--out", tmp_path / "new" / "page.html").exit_code == 0
    assert (tmp_path / "new" / "page.html").read_text(encoding="utf-8") == text
    assert len(text) < 1_000_000

    page = Page(text)
    assert page.headings == {"scores", "verdicts", "curves", "metrics", "worst", "data", "repeat"}
    assert "With 95 % confidence at most 1 % of normal units alarm" in page.text
    assert "299 normal units, 0 above the threshold" in page.text
    assert "68 of 80 anomalous units; 95 % interval 75.3 % to 92 %" in page.text
    assert (
        "ab" * 32 not in text
        and "cd" * 32 in text
        and "calibrate evaluate &#39;data/tiles 47&#39; --profile tiles.yaml" in text
    )
    assert len(page.all("img")) == 6 and all(a["src"].startswith("data:image/jpeg;base64,") for a in page.all("img"))


def test_a_run_as_it_is_really_written(tmp_path):
    for kind, number in ((None, 6), ("stain", 3), ("crack", 2)):
        folder = tmp_path / "coupons" / "test" / (kind or "good")
        folder.mkdir(parents=True)
        for seed in range(number):
            Image.fromarray(inbox_part(900 + seed, kind).image).save(folder / f"{seed}.png")
    run = tmp_path / "run"
    done = call(
        tmp_path / "coupons",
        "--out",
        run,
        "--profile",
        PROFILE,
        "--memory",
        MEMORY,
        "--device",
        "cpu",
        command=evaluate_command,
    )
    assert done.exit_code == 0, done.output
    assert call(run, "--profile", PROFILE).exit_code == 0
    page = Page((run / "report.html").read_text(encoding="utf-8"))
    assert {"scores", "verdicts", "curves", "metrics", "data", "repeat"} <= page.headings
    assert "at most 1 % of normal units alarm" in page.text.replace("\u00a0", " ")
    assert "6 normal and 5 anomalous images of 11 units" in page.text
    assert "of 5 anomalous units" in page.text and "stain" in page.text
    assert str(tmp_path) not in page.text


def test_the_page_asks_nobody_for_anything(run_folder):
    text = render(read_run(run_folder))
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[^\"]+", "", text))
    page = Page(text)
    assert not page.all("script") and not page.all("iframe")
    [policy] = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")


def test_everything_drawn_or_tabled_is_named_for_those_who_cannot_see_it(run_folder):
    page = Page(render(read_run(run_folder)))
    images = [a for a in page.all("svg") if "aria-hidden" not in a]
    assert len(images) == 2 + 3 + len(KINDS)
    assert all(a["role"] == "img" and len(a["aria-label"]) > 10 for a in images)
    assert all("scope" in a for a in page.all("th"))
    assert all(a["alt"] for a in page.all("img"))


def test_hostile_names_are_only_text(tmp_path):
    evil = '"><script>alert(1)</script><b x="'
    rows = samples(classes=(evil,))
    rows[0][0] = rows[0][4] = rows[-1][3] = evil
    data = evaluation(rows, notes=[evil], command=evil, versions={evil: evil}, framing={evil: {evil: evil}})
    data["data"] |= {"name": evil, "synthetic": evil}
    data["profile"]["line"] = evil
    data["worst"][0] |= {"path": evil, "kind": evil}
    page = Page(render(read_run(write_run(tmp_path / "run", rows, data))))
    assert not page.all("script")
    assert not any("x" in a for a in page.all("b"))
    assert page.text.count("<script>alert(1)</script>") >= 6


def test_undefined_is_never_zero(tmp_path):
    rows = samples()
    none = dict.fromkeys(evaluation(rows)["mean"])
    data = evaluation(rows, mean=none, classes={"tile": none})
    data["worst"][0]["score"] = None
    text = json.dumps(data).replace('"image_ap": null', '"image_ap": NaN')
    folder = write_run(tmp_path / "run", rows, data)
    (folder / "evaluation.json").write_text(text)
    page = Page(render(read_run(folder)))
    assert page.text.count("n/a") == 2 + 7 + 1 + 1
    assert "0.000" not in page.text


def test_what_is_absent_leaves_no_section(tmp_path):
    page = page_of(tmp_path / "a", profile=None, confusion=None, kinds={}, curves={}, worst=[], classes={})
    assert page.headings == {"scores", "data", "repeat"}
    assert "No threshold was applied" in page.text and "margin (logit difference)" in page.text

    folder = tmp_path / "b"
    folder.mkdir()
    (folder / "evaluation.json").write_text('{"schema": "calibrate.evaluation/1", "later": {"key": 1}}')
    assert Page(render(read_run(folder))).headings == {"data", "repeat"}


def test_no_guarantee_says_why(tmp_path):
    data = evaluation(samples())
    c = data["profile"]["calibration"]
    c |= {"guarantee": None, "n_good": 50}
    assert "No guarantee: 50 normal units can at best show that at most 5.8 %" in page_of(tmp_path / "a", **data).text
    measured = {
        "confidence": 0.95,
        "n_good": 60,
        "false_alarms": 1,
        "false_alarm_low": 0.0004,
        "false_alarm_high": 0.089,
    }
    c |= {"method": "f1", "measured": measured | {"n_bad": 20, "misses": 2, "recall_low": 0.68, "recall_high": 0.99}}
    text = page_of(tmp_path / "b", **data).text.replace("\u00a0", " ")
    assert "No guarantee: the threshold was set where F1 is best" in text
    assert "1 of 60 normal ones alarmed (0.04 % to 8.9 %), 18 of 20 anomalous ones were found (68 % to 99 %)" in text


def test_a_promise_says_what_it_bounds(tmp_path):
    data = evaluation(samples())
    recall = {"recall": 0.95, "confidence": 0.9}
    data["profile"]["calibration"] |= {"bounds": "uncertain", "recall_guarantee": recall, "n_bad": 59}
    text = page_of(tmp_path / "a", **data).text.replace("\u00a0", " ")
    assert "at most 1 % of normal units alarm or are uncertain" in text
    assert "with 90 % confidence at least 95 % of anomalous units" in text
    assert "alarm or are uncertain more often than promised: 3 of 120" not in text


def test_findings_against_the_promise_stand_above_it(tmp_path):
    rows = samples()
    for row in rows[:10]:
        row[7], row[8] = 2.0, "anomaly"
    page = page_of(tmp_path / "a", rows)
    assert "alarm more often than promised: 10 of 120, 8.3 %" in page.text
    assert {"class": "statement bad"} in page.all("div") and "Not kept here: with 95" in page.text

    data = evaluation(samples(), notes=["synthetic evidence: painted defects"])
    data["data"]["synthetic"] = True
    page = page_of(tmp_path / "b", **data)
    assert page.all("p")[1]["class"] == page.all("p")[2]["class"] == "banner"
    assert "painted, not real" in page.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: (f / "evaluation.json").unlink(), r"evaluation.json: no such file; `calibrate evaluate` makes it"),
        (lambda f: (f / "evaluation.json").write_text("{"), "evaluation.json: cannot be read"),
        (lambda f: (f / "evaluation.json").write_text("[" * 100_000), "evaluation.json: cannot be read"),
        (lambda f: (f / "evaluation.json").write_text('{"schema": "x/2"}'), "evaluation.json: schema: not calibrate"),
        (
            lambda f: (f / "evaluation.json").write_text(
                '{"schema": "calibrate.evaluation/1", "classes": {"a": {"image_ap": "x"}}}'
            ),
            "classes.a.image_ap",
        ),
        (lambda f: (f / "samples.csv").write_text("path,label\na,good\n"), "samples.csv: line 1: no column class"),
        (
            lambda f: (f / "samples.csv").write_text(",".join(COLUMNS) + "\na,b,good,,u,x,1,1,ok,0\n"),
            "samples.csv: line 2: could not convert",
        ),
        (
            lambda f: (f / "samples.csv").write_text(",".join(COLUMNS) + "\na,b,maybe,,u,1,1,1,ok,0\n"),
            "label 'maybe' is neither",
        ),
        (lambda f: (f / "samples.csv").write_bytes(b"\xff\xfe"), "samples.csv: line"),
    ],
)
def test_what_cannot_be_read_is_one_line(run_folder, change, said):
    change(run_folder)
    with pytest.raises(DataError, match=said) as caught:
        read_run(run_folder)
    assert "\n" not in str(caught.value)
    assert call(run_folder).exit_code == 1
    assert not (run_folder / "report.html").exists()


def test_sizes_are_bounded(run_folder, monkeypatch):
    monkeypatch.setattr(reading, "MAX_IMAGES", 2)
    monkeypatch.setattr(reading, "MAX_IMAGE", 100)
    images = read_run(run_folder).images
    assert [(p.about.path, p.jpeg) for p in images] == [("test/good/001.png", None), ("test/dent/004.png", None)]
    assert "The worst 2 of 6" in Page(render(read_run(run_folder))).text
    for name, bound in (("evaluation.json", "MAX_EVALUATION"), ("samples.csv", "MAX_SAMPLES")):
        with monkeypatch.context() as patch, pytest.raises(DataError, match=f"{name}: larger than 99 bytes"):
            patch.setattr(reading if bound == "MAX_EVALUATION" else rows_file, bound, 99)
            read_run(run_folder)


def test_a_image_is_a_jpeg_of_this_run(tmp_path):
    rows = samples()
    data = evaluation(rows)
    folder = write_run(tmp_path / "run", rows, data)
    outside = tmp_path / "outside.jpg"
    shutil.copy(folder / data["worst"][0]["file"], outside)
    (folder / "worst" / "link.jpg").symlink_to(outside)
    (folder / "worst" / "text.jpg").write_text("<svg onload=alert(1)>")
    for i, name in enumerate(["../outside.jpg", str(outside), "worst/link.jpg", "worst/text.jpg", "gone.jpg"]):
        data["worst"][i]["file"] = name
    (folder / "evaluation.json").write_text(json.dumps(data))
    run = read_run(folder)
    assert [p.jpeg is None for p in run.images] == [True] * 5 + [False]
    assert Page(render(run)).text.count("no image") == 5


def test_a_long_curve_stays_small(tmp_path):
    x = np.linspace(0, 1, 50_000)
    points = np.stack([x, np.sqrt(x)], 1).tolist()
    folder = write_run(tmp_path / "run", samples(), evaluation(samples(), curves={"tile": {"roc": points}}, worst=[]))
    assert len(render(read_run(folder))) < 100_000


def test_the_profile_must_be_the_one_that_judged(tmp_path):
    rows = samples()
    data = evaluation(rows)
    loaded = load_profile(PROFILE).profile
    del data["profile"]["map_limits"]
    other = read_run(write_run(tmp_path / "a", rows, data))
    with pytest.raises(RefusedError, match=f"{loaded.id[:12]} did not judge this run, 343434343434 did"):
        with_profile(other, PROFILE)
    data["profile"]["id"] = loaded.id
    own = read_run(write_run(tmp_path / "b", rows, data))
    assert "heat scale" not in Page(render(own)).text
    assert f"{loaded.map_limits[1]:.2f} margin" in Page(render(with_profile(own, PROFILE))).text
    unjudged = read_run(write_run(tmp_path / "c", rows, data | {"profile": None}))
    with pytest.raises(RefusedError, match="without a profile"):
        with_profile(unjudged, PROFILE)


def test_kinds_that_are_missed_come_first():
    kinds = {
        "a": {"dent": {"units": 4, "anomaly": 3, "ok": 1}, "scratch": {"anomaly": 2}},
        "b": {"dent": {"rejected": 1}},
    }
    found = [(t.class_name, t.name, t.total, t.share("anomaly").count) for t in by_kind(kinds)]
    assert found == [("b", "dent", 1, 0), ("a", "dent", 4, 3), ("a", "scratch", 2, 2)]


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (1, 299)])
def test_the_interval_is_exact(k, n):
    low, high = Share(k, n).interval
    assert low == 0 if k == 0 else binom.sf(k - 1, n, low) == pytest.approx(0.025)
    assert high == 1 if k == n else binom.cdf(k, n, high) == pytest.approx(0.025)
    assert Share(0, 0).interval is None and Share(0, 0).rate is None


def test_percentages_do_not_round_onto_the_ends():
    texts = [percent(v).replace("\u00a0", " ") for v in (None, 0, 1, 0.01, 0.00001, 0.99999, 0.9946, 0.123)]
    assert texts == ["n/a", "0 %", "100 %", "1 %", "< 0.01 %", "> 99.99 %", "99.46 %", "12.3 %"]


def test_bins_hold_everything_and_part_at_the_threshold():
    rng = np.random.default_rng(0)
    normal = np.append(rng.normal(0, 1, 500), [1.25, 900.0])
    anomalous = np.append(rng.normal(3, 1, 40), -700.0)
    bins = make_bins(normal, anomalous, Marks(1.25, 1.0))
    assert bins.normal.sum() + bins.below[0] + bins.above[0] == len(normal)
    assert bins.anomalous.sum() + bins.below[1] + bins.above[1] == len(anomalous)
    assert bins.above == (1, 0) and bins.below == (0, 1)
    [at] = np.flatnonzero(bins.edges == 1.25)
    assert bins.normal[at:].sum() + bins.above[0] == np.sum(normal > 1.25)
    assert 20 <= len(bins.normal) <= 60


@pytest.mark.parametrize("values", [[0.0], [1e10, 1e10], [2.5, 2.5 + 1e-12], [-3e38, 3e38]])
@pytest.mark.parametrize("threshold", [None, 2.5])
def test_odd_scores_still_have_bins(values, threshold):
    bins = make_bins(np.array(values), np.array([]), Marks(threshold))
    assert bins.normal.sum() + bins.below[0] + bins.above[0] == len(values)
    assert np.all(np.diff(bins.edges) > 0) and len(bins.edges) < 200


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


@needs_chromium
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_draws_it_without_overflow(tmp_path, width):
    rows = samples(5, ("tile", "a class with a name that is much too long for any table " * 2, "w" * 90))
    rows[3][7], rows[-3][7] = 40.0, -25.0
    data = evaluation(rows)
    data["worst"][0]["path"] = "deep/" + "folder" * 30 + ".png"
    text = render(read_run(write_run(tmp_path / "run", rows, data)))
    # The page itself lets no script run, so a copy without its policy is measured.
    inner = escape(re.sub(r"<meta http-equiv[^>]+>", "", text) + MEASURE)
    page = tmp_path / "page.html"
    page.write_text(f'<!doctype html><iframe srcdoc="{inner}" width="{width}" height="900">', encoding="utf-8")
    dom = browse(tmp_path, page).stdout
    result = json.loads(unescape(re.search(r'data-result="([^"]*)"', dom)[1]))
    assert result == {"width": width, "scroll": width, "out": [], "charts": 1 + 3}


@needs_chromium
def test_a_browser_finds_nothing_to_complain_about(run_folder):
    call(run_folder)
    seen = browse(run_folder, run_folder / "report.html")
    assert "With 95" in seen.stdout
    assert "CONSOLE" not in seen.stderr, seen.stderr
