"""Few-shot curves on the page: one panel a measure, the mean first."""

import re

import pytest

from calibrate.report.few_shot import blocks
from calibrate.report.page import render
from calibrate.report.reading import read_run
from tests.factories.few_shot import few_shot, few_shot_curve
from tests.factories.pages import Page
from tests.factories.runs import run_document, sample_rows, write_run


@pytest.fixture
def run_folder(tmp_path):
    rows = sample_rows()
    return write_run(tmp_path / "run", rows, run_document(rows))


def test_curves_without_masks_have_one_panel_and_stay_in_their_frame():
    [block] = blocks(few_shot(few_shot_curve("tile", pixel=False)))
    [part] = block.panels
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', part.panel.chart)]
    assert len(heights) == 3 * 6 and all(8 <= y <= 258 for y in heights)
    # The higher, the further up; zero-shot's six come first.
    assert heights[:6] == sorted(heights[:6], reverse=True)
    assert 'class="chance"' in part.panel.chart


def test_the_mean_stands_open_above_folded_sets_and_another_model_is_named(run_folder):
    evil = "<script>alert(1)</script>"
    found = few_shot(
        few_shot_curve("a"), few_shot_curve(evil), mean=few_shot_curve("mean of 2", None), adapter="ab" * 32
    )
    page = Page(render(read_run(run_folder), found))
    assert [("open" in a) for a in page.all("details")] == [True, False, False]
    assert "the curves were made with adapter abababababab, the run with 121212121212" in page.text
    assert not page.all("script") and page.text.count(evil) >= 3
    assert "35 (all)" in page.text and "mean of 2, AUROC of pixels" in page.text
