"""What `calibrate report` says of a memory: why it is used, few-shot curves, and how sure the numbers are."""

import json
import re
from datetime import UTC, datetime
from html import escape, unescape

import numpy as np
import pytest

from calibrate.errors import DataError
from calibrate.few_shot.document import METHODS, Curve, Estimate, FewShot, Step
from calibrate.metrics.ranking import auroc, average_precision
from calibrate.report import reading
from calibrate.report.few_shot import blocks
from calibrate.report.intervals import image_intervals
from calibrate.report.page import render
from calibrate.report.reading import read_few_shot, read_run
from calibrate.report.rows import ReportRow
from tests.calibrate.test_report import (
    MEASURE,
    Page,
    browse,
    call,
    evaluation,
    needs_chromium,
    page_of,
    samples,
    write_run,
)

CHOICE = {
    "chosen": "fused",
    "n_good": 20,
    "n_painted": 80,
    "auroc": {"zero-shot": 0.701, "memory": 0.912, "fused": 0.934},
    "error": {"zero-shot": 0.041, "memory": 0.013, "fused": 0.0},
}


def estimate(mean):
    return Estimate(values=(mean, mean), mean=mean, low=mean - 0.05, high=min(1.0, mean + 0.04))


def curve(name, images=35, pixel=True):
    steps = []
    for k, count in enumerate((1, 2, 4, 8, 16, 35)):
        ways = {method: estimate(0.45 + 0.1 * place + 0.02 * k) for place, method in enumerate(METHODS)}
        took = {"fused": 4, "memory": 1} if count < 35 else {"fused": 1}
        steps.append(Step(pictures=count, took=took, image=ways, pixel=ways if pixel else None))
    return Curve(name=name, pictures=images, test_good=30, test_defective=22, steps=tuple(steps))


def few_shot(*curves, mean=None, **changes):
    fields = {"backbone": "ViT-L-14-336", "adapter": "12" * 32, "confidence": 0.95, "resamples": 1000} | changes
    return FewShot(created=datetime(2026, 11, 24, tzinfo=UTC), curves=curves, mean=mean, **fields)


@pytest.fixture
def run_folder(tmp_path):
    rows = samples()
    return write_run(tmp_path / "run", rows, evaluation(rows))


def test_curves_are_drawn_and_tabled_with_the_same_numbers(run_folder, tmp_path):
    path = tmp_path / "curves.json"
    path.write_text(few_shot(curve("tile")).text())
    assert call(run_folder, "--few-shot", path).exit_code == 0
    page = Page((run_folder / "report.html").read_text(encoding="utf-8"))
    assert "memory" in page.headings
    assert "tile: 30 normal and 22 anomalous test images" in page.text
    assert "35 (all) 0.550 0.500 to 0.590 0.650" in page.text
    assert "auto took" in page.text and "fused 4, memory 1" in page.text
    assert "Not of the model of this run" not in page.text
    assert not page.all("details")
    assert all("scope" in a for a in page.all("th"))
    drawn = [a["aria-label"] for a in page.all("svg") if "AUROC of" in a.get("aria-label", "")]
    assert drawn == [
        f"tile: AUROC of {what} over normal images; with 1 to 35 (all): "
        "zero-shot from 0.450 to 0.550, memory from 0.550 to 0.650, fused from 0.650 to 0.750"
        for what in ("images", "pixels")
    ]


def test_curves_without_masks_have_one_panel_and_stay_in_their_frame():
    [block] = blocks(few_shot(curve("tile", pixel=False)))
    [shown] = block.shown
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', shown.panel.chart)]
    assert len(heights) == 3 * 6 and all(8 <= y <= 258 for y in heights)
    # The higher, the further up; zero-shot's six come first.
    assert heights[:6] == sorted(heights[:6], reverse=True)
    assert 'class="chance"' in shown.panel.chart


def test_the_mean_stands_open_above_folded_sets_and_another_model_is_said(run_folder):
    evil = "<script>alert(1)</script>"
    found = few_shot(curve("a"), curve(evil), mean=curve("mean of 2", None), adapter="ab" * 32)
    page = Page(render(read_run(run_folder), found))
    assert [("open" in a) for a in page.all("details")] == [True, False, False]
    assert "the curves were made with adapter abababababab, the run with 121212121212" in page.text
    assert not page.all("script") and page.text.count(evil) >= 3
    assert "35 (all)" in page.text and "mean of 2, AUROC of pixels" in page.text


def broken(change):
    data = json.loads(few_shot(curve("tile")).text())
    change(data)
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ('{"schema": "calibrate.few-shot/2"}', "schema: not calibrate.few-shot/1; `calibrate few-shot --out` makes it"),
        (broken(lambda d: d["curves"].clear()), "curves: Tuple should have at least 1 item"),
        (broken(lambda d: d.update(later=1)), "later: Extra inputs"),
        (broken(lambda d: d["curves"][0]["steps"].reverse()), r"curves.0: the numbers of images \[35, 16"),
        (broken(lambda d: d["curves"][0]["steps"][0]["image"].pop("fused")), "steps.0: no fused for 1 images"),
        (broken(lambda d: d["curves"][0]["steps"][0]["image"]["fused"].update(low=0.99)), "low 0.99 lies above high"),
        (broken(lambda d: d["curves"][0]["steps"][0]["image"]["fused"].update(mean=1.5)), "mean: Input should be less"),
        (broken(lambda d: d["curves"][0]["steps"][0]["image"]["fused"].update(mean=float("nan"))), "mean: Input"),
    ],
)
def test_a_anomalous_file_is_one_line(run_folder, tmp_path, text, said):
    path = tmp_path / "curves.json"
    path.write_text(text)
    with pytest.raises(DataError, match=f"curves.json: .*{said}") as caught:
        read_few_shot(path)
    assert "\n" not in str(caught.value)
    assert call(run_folder, "--few-shot", path).exit_code == 1
    assert not (run_folder / "report.html").exists()


def test_a_missing_or_huge_file_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no such file; `calibrate few-shot --out` makes it"):
        read_few_shot(tmp_path / "none.json")
    monkeypatch.setattr(reading, "MAX_FEW_SHOT", 10)
    (tmp_path / "curves.json").write_text(few_shot(curve("tile")).text())
    with pytest.raises(DataError, match="larger than 10 bytes"):
        read_few_shot(tmp_path / "curves.json")


def test_the_page_says_what_the_fusion_was_chosen_by(tmp_path):
    data = evaluation(samples())
    data["profile"]["fusion_choice"] = CHOICE | {"later": 1}
    data["model"]["fusion"] = {"use": "fused", "image_share": 1.0, "map_share": 0.5, "memory_map": {}}
    text = page_of(tmp_path / "a", **data).text.replace("\u00a0", " ")
    assert "the memory's weight is 100 % in the image's number and 50 % in its map" in text
    assert "Why the profile uses both Chosen on 80 defects painted on 20 normal images. That is synthetic" in text
    assert "memory 0.912 0.022 0.013 fused (chosen) 0.934 0.000 0.000" in text

    data["profile"]["fusion_choice"] = CHOICE | {"chosen": "zero-shot"}
    data["model"]["fusion"] = None
    text = page_of(tmp_path / "b", **data).text
    assert "Why the profile uses zero-shot alone" in text and "This run judged by" not in text


def rows_of(rng, name, shift, n=60):
    return [
        ReportRow(name, k < n // 3, f"u{k // 2}", float(rng.normal(shift if k < n // 3 else 0)), None, "")
        for k in range(n)
    ]


def test_intervals_of_images_hold_the_number_and_shrink_with_more_units():
    rng = np.random.default_rng(5)
    few, many = rows_of(rng, "few", 1.5), rows_of(rng, "many", 1.5, 1200)
    normal_only = [ReportRow("good only", False, "u", 0.0, None, ""), ReportRow("good only", None, "v", 1.0, None, "")]
    sure = image_intervals([*few, *many, *normal_only])
    assert set(sure.classes) == {"few", "many"}
    for rows in (few, many):
        margins, labels = np.array([r.margin for r in rows]), np.array([r.anomalous for r in rows])
        found = sure.classes[rows[0].class_name]
        for name, number in (("image_auroc", auroc), ("image_ap", average_precision)):
            low, high = found[name]
            assert low < number(margins, labels) < high
    widths = {name: np.ptp(found["image_auroc"]) for name, found in sure.classes.items()}
    assert widths["many"] < 0.4 * widths["few"]
    assert widths["many"] < np.ptp(sure.mean["image_auroc"]) < widths["few"]
    assert image_intervals([*few, *many, *normal_only]) == sure
    assert image_intervals(normal_only).classes == {} == image_intervals([]).mean


def test_the_page_shows_intervals_of_exact_numbers_only(tmp_path):
    page = page_of(tmp_path / "a")
    low, high = image_intervals(read_run(tmp_path / "a").rows).classes["tile"]["image_auroc"]
    assert f"0.973 {low:.3f} to {high:.3f}" in page.text
    assert f"95\u00a0% interval {low:.3f} to {high:.3f}; chance that" in page.text.replace("95 %", "95\u00a0%")
    assert "by drawing units again and again" in page.text
    assert "again and again" not in page_of(tmp_path / "b", definition="paper").text


@needs_chromium
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_draws_curves_without_overflow(tmp_path, width):
    rows = samples()
    data = evaluation(rows)
    data["profile"]["fusion_choice"] = CHOICE
    found = few_shot(curve("w" * 90), curve("b"), mean=curve("mean of 2", None))
    text = render(read_run(write_run(tmp_path / "run", rows, data)), found)
    inner = escape(re.sub(r"<meta http-equiv[^>]+>", "", text).replace("<details>", "<details open>") + MEASURE)
    page = tmp_path / "page.html"
    page.write_text(f'<!doctype html><iframe srcdoc="{inner}" width="{width}" height="900">', encoding="utf-8")
    dom = browse(tmp_path, page).stdout
    result = json.loads(unescape(re.search(r'data-result="([^"]*)"', dom)[1]))
    assert result == {"width": width, "scroll": width, "out": [], "charts": 1 + 3 + 6}
