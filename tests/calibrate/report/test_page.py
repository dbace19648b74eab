"""The page of a run: what it says, what it leaves out, and how a browser draws it."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from calibrate.evaluation.highest import DrawnUnit, HighestUnit
from calibrate.report.metrics import image_intervals
from calibrate.report.page import render
from calibrate.report.reading import read_run
from calibrate.statistics.intervals import rate_between
from tests.factories.few_shot import few_shot, few_shot_curve
from tests.factories.pages import Page, measure_layout, needs_chromium, page_of
from tests.factories.runs import KINDS, THRESHOLD, run_document, sample_rows, write_run

SCALE = {"centre": 0.0, "spread": 1.0}
CHOICE = {
    "chosen": "fused",
    "n_good": 20,
    "n_painted": 80,
    "auroc": {"zero-shot": 0.701, "memory": 0.912, "fused": 0.934},
    "error": {"zero-shot": 0.041, "memory": 0.013, "fused": 0.0},
}


@pytest.fixture
def run_folder(tmp_path):
    rows = sample_rows()
    return write_run(tmp_path / "run", rows, run_document(rows))


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
    rows = sample_rows(classes=(evil,))
    rows[0][0] = rows[0][4] = rows[-1][3] = evil
    data = run_document(rows, notes=[evil], command=[evil], versions={evil: evil})
    data["data"] |= {"name": evil, "synthetic": evil}
    data["profile"]["line"] = evil
    data["worst"][0] |= {"path": evil}
    page = Page(render(read_run(write_run(tmp_path / "run", rows, data))))
    assert not page.all("script")
    assert not any("x" in a for a in page.all("b"))
    assert page.text.count("<script>alert(1)</script>") >= 6


def test_undefined_is_never_zero(tmp_path):
    rows = sample_rows()
    none = dict.fromkeys(run_document(rows)["mean"])
    data = run_document(rows, mean=none, classes={"tile": none})
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
    data = run_document(sample_rows())
    c = data["profile"]["calibration"]
    c |= {"guarantee": None, "n_good": 50}
    assert "No guarantee: 50 normal units can at best show that at most 5.8%" in page_of(tmp_path / "a", **data).text
    measured = {
        "confidence": 0.95,
        "n_good": 60,
        "false_alarms": 1,
        "false_alarm_low": 0.0004,
        "false_alarm_high": 0.089,
    }
    c |= {"method": "f1", "measured": measured | {"n_bad": 20, "misses": 2, "recall_low": 0.68, "recall_high": 0.99}}
    text = page_of(tmp_path / "b", **data).text
    assert "No guarantee: the threshold was set where F1 is best" in text
    assert (
        "1 of 60 normal units alarm, 0.04% to 8.9% at 95% confidence; 18 of 20 anomalous units alarm, 68% to 99%"
        in text
    )


def test_a_promise_says_what_it_bounds(tmp_path):
    data = run_document(sample_rows())
    recall = {"recall": 0.95, "confidence": 0.9}
    data["profile"]["calibration"] |= {"bounds": "uncertain", "recall_guarantee": recall, "n_bad": 59}
    text = page_of(tmp_path / "a", **data).text
    assert "at most 1% of normal units alarm or are uncertain" in text
    assert "And with 90% confidence at least 95% of anomalous units" in text
    assert "alarm or are uncertain more often than promised: 3 of 120" not in text


def test_findings_against_the_promise_stand_above_it(tmp_path):
    rows = sample_rows()
    for row in rows[:10]:
        row[7], row[8] = 2.0, "anomaly"
    page = page_of(tmp_path / "a", rows)
    assert "alarm more often than promised: 10 of 120, 8.3%" in page.text
    assert {"class": "statement broken"} in page.all("div") and "Not kept here: with 95" in page.text

    data = run_document(sample_rows())
    data["data"]["synthetic"] = True
    page = page_of(tmp_path / "b", **data)
    assert page.all("p")[1]["class"] == "banner"
    assert "painted, not real" in page.text
    data["data"]["synthetic"] = "these defects are printed"
    assert "these defects are printed" in page_of(tmp_path / "c", **data).text


SIZES = [("small", 2), ("medium", 15), ("large", 29)]


def found_row(what, found, total=30):
    low, high = rate_between(found, total, 0.95)
    return {"what": what, "found": found, "total": total, "low": low, "high": high}


def with_sees(found=29):
    """A profile that finds so many of 30 large painted defects, and what the common rule finds."""
    data = run_document(sample_rows())
    sizes = [found_row(what, n if what != "large" else found) for what, n in SIZES]
    rule = {"name": "95th percentile × 1.42", "threshold": 1.0, "alarms": found_row("normal", 9, 299), "sizes": sizes}
    data["profile"]["sees"] = {
        "confidence": 0.95,
        "sizes": sizes,
        "kinds": [found_row("scratch", 20)],
        "real": found_row("real", 7, 9),
        "rule": rule,
        "later": 1,
    }
    return data


def test_the_page_says_what_the_profile_finds_beside_a_common_rule(tmp_path):
    rows = sample_rows()
    text = page_of(tmp_path / "a", **with_sees()).text
    assert "large painted 30 29 96.7% 82.8% to 99.92%" in text
    assert "painted like scratch 30 20" in text and "real ones at hand 9 7" in text
    assert "Blind:" not in text
    above = {label: sum(r[2] == label and r[7] > 1.0 for r in rows) for label in ("good", "defective")}
    assert f"95th percentile × 1.42 1.000 9 of 299 3% {above['good']} of 120" in text
    assert f"{above['defective']} of 80" in text
    own = sum(r[2] == "good" and r[7] > THRESHOLD for r in rows)
    assert f"this profile 1.530 0 of 299 0% {own} of 120" in text

    page = page_of(tmp_path / "b", **with_sees(found=3))
    assert "Blind: nothing shows that this threshold finds even large defects" in page.text
    assert "highest" not in page.headings


def test_the_units_that_set_the_threshold_are_shown(run_folder):
    about = HighestUnit(unit="good/<7>.png", z=3.25, file="01_good-7.png")
    drawn = (DrawnUnit(about, b"\x89PNG\r\n\x1a\n1"), DrawnUnit(about, None))
    page = Page(render(replace(read_run(run_folder), highest=drawn)))
    assert "highest" in page.headings
    assert "remove them from the data if they are defective" in page.text
    assert "z 3.250 good/<7>.png" in page.text and "no image" in page.text
    assert sum(a["src"].startswith("data:image/png;base64,") for a in page.all("img")) == 1


def test_a_long_curve_stays_small(tmp_path):
    x = np.linspace(0, 1, 50_000)
    points = np.stack([x, np.sqrt(x)], 1).tolist()
    folder = write_run(
        tmp_path / "run", sample_rows(), run_document(sample_rows(), curves={"tile": {"roc": points}}, worst=[])
    )
    assert len(render(read_run(folder))) < 100_000


def test_the_page_says_what_the_fusion_was_chosen_by(tmp_path):
    data = run_document(sample_rows())
    data["profile"]["fusion_choice"] = CHOICE | {"later": 1}
    data["model"]["fusion"] = {"use": "fused", "image_share": 1.0, "map_share": 0.5, "later": 1}
    data["model"]["fusion"] |= {
        f"{term}_{part}": SCALE for term in ("zero_shot", "memory") for part in ("image", "map")
    }
    text = page_of(tmp_path / "a", **data).text
    assert "the memory's weight is 100% in the image's number and 50% in its map" in text
    assert "Why the profile uses both Chosen on 80 defects painted on 20 normal images. That is synthetic" in text
    assert "memory 0.912 0.022 0.013 fused (chosen) 0.934 0.000 0.000" in text

    data["profile"]["fusion_choice"] = CHOICE | {"chosen": "zero-shot"}
    data["model"]["fusion"] = None
    text = page_of(tmp_path / "b", **data).text
    assert "Why the profile uses zero-shot alone" in text and "This run judged by" not in text


def test_the_page_shows_intervals_of_exact_numbers_only(tmp_path):
    page = page_of(tmp_path / "a")
    low, high = image_intervals(read_run(tmp_path / "a").images).classes["tile"]["image_auroc"]
    assert f"0.973 {low:.3f} to {high:.3f}" in page.text
    assert f"95% interval {low:.3f} to {high:.3f}; chance that" in page.text
    assert "by drawing units again and again" in page.text
    assert "again and again" not in page_of(tmp_path / "b", definition="paper").text


@needs_chromium
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_draws_it_without_overflow(tmp_path, width):
    rows = sample_rows(5, ("tile", "a class with a name that is much too long for any table " * 2, "w" * 90))
    rows[3][7], rows[-3][7] = 40.0, -25.0
    data = run_document(rows)
    data["worst"][0]["path"] = "deep/" + "folder" * 30 + ".png"
    data["profile"]["sees"] = with_sees()["profile"]["sees"]
    text = render(read_run(write_run(tmp_path / "run", rows, data)))
    assert measure_layout(tmp_path, text, width) == {"width": width, "scroll": width, "out": [], "charts": 1 + 3}


@needs_chromium
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_draws_curves_without_overflow(tmp_path, width):
    rows = sample_rows()
    data = run_document(rows)
    data["profile"]["fusion_choice"] = CHOICE
    curves = few_shot(few_shot_curve("w" * 90), few_shot_curve("b"), mean=few_shot_curve("mean of 2", None))
    text = render(read_run(write_run(tmp_path / "run", rows, data)), curves)
    assert measure_layout(tmp_path, text, width) == {"width": width, "scroll": width, "out": [], "charts": 1 + 3 + 6}
