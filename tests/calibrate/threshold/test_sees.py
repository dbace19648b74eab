"""What a threshold finds of painted defects: each unit once a row, the sizes kept, the intervals exact."""

from collections import Counter

import cv2
import numpy as np
import pytest

from calibrate.datasets.reader import read_data
from calibrate.defects.on_images import add_defect, foreground
from calibrate.inference import View
from calibrate.threshold.sees import AREAS, MAX_UNITS, ZRule, measure_sees, plan_paintings
from fbclip.decision import Statistic
from fbclip.images.geometry import Placement
from tests.factories.lines import unit_of_the_line
from tests.factories.models import tiny_detector


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("line")
    (folder / "good").mkdir()
    for seed in range(8):
        cv2.imwrite(str(folder / "good" / f"u{seed}.png"), unit_of_the_line(seed))
    return read_data(folder).samples


@pytest.fixture(autouse=True)
def as_many_units_as_in_a_run(monkeypatch, few_painted_units):
    monkeypatch.setattr("calibrate.threshold.sees.MAX_UNITS", MAX_UNITS)


def test_no_row_counts_a_unit_twice(samples):
    paintings = plan_paintings([*samples, samples[0]])
    assert len(paintings) == len(AREAS) * len(samples)
    for row in ("size", "kind"):
        seen = Counter((getattr(p, row), p.item.sample.unit) for p in paintings)
        assert set(seen.values()) == {1}


def test_units_are_bounded(samples):
    many = [samples[0].__class__(**{**vars(samples[0]), "unit": f"u{n}"}) for n in range(MAX_UNITS + 5)]
    assert len(plan_paintings(many)) == MAX_UNITS * len(AREAS)


def test_defects_have_their_size_where_their_kind_can(samples):
    off = []
    for painting in plan_paintings(samples):
        image = cv2.cvtColor(cv2.imread(str(painting.item.sample.path)), cv2.COLOR_BGR2RGB)
        height, width = image.shape[:2]
        _, mask = add_defect(image, painting.item.defect, Placement(0, 0, width, height))
        low, high = AREAS[painting.size]
        area = mask.sum() / foreground(image).sum()
        off.append(max(low / area, area / high, 1.0))
    assert np.median(off) == 1.0
    assert max(off) < 12


def test_what_lies_above_the_threshold_is_found(samples):
    view = View(detector := tiny_detector(), next(iter(detector.smoothing)))
    statistic = Statistic(a=0, b=1, a2=0, b2=1)
    every = measure_sees(view, samples, ZRule(statistic, 1, -1e9), (), 0.95)
    none = measure_sees(view, samples, ZRule(statistic, 1, 1e9), view.score(samples[:2]), 0.95)
    assert [(row.found, row.total) for row in every.sizes] == [(8, 8)] * 3
    assert every.large is not None
    assert every.large.low == pytest.approx(0.025 ** (1 / 8))
    assert not every.blind
    assert [row.found for row in (*none.sizes, *none.kinds)] == [0] * 7
    assert none.blind
    assert none.real is not None
    assert (none.real.found, none.real.total) == (0, 2)


def test_intervals_cover_the_true_share():
    """Simulated: the exact interval of 60 units covers at least as often as it says."""
    from calibrate.threshold.sees import _row

    rng, covered = np.random.default_rng(5), 0
    for _ in range(2000):
        share = rng.uniform(0.05, 0.95)
        row = _row("large", list(rng.random(60) < share), 0.95)
        covered += row.low <= share <= row.high
    assert covered / 2000 >= 0.94
