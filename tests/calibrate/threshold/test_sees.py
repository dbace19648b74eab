"""What a threshold finds of painted defects: each unit once a row, the sizes kept, the intervals exact."""

from collections import Counter

import cv2
import numpy as np
import pytest

from calibrate.datasets.reader import read_data
from calibrate.defects.on_images import add_defect, foreground
from calibrate.inference import View
from calibrate.threshold.common_rule import CommonRule, common_rule
from calibrate.threshold.sees import AREAS, MAX_UNITS, ZRule, _row, measure_sees, plan_paintings, sees_at
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
    rng, covered = np.random.default_rng(5), 0
    for _ in range(2000):
        share = rng.uniform(0.05, 0.95)
        row = _row("large", rng.random(60), 1 - share, 0.95)
        covered += row.low <= share <= row.high
    assert covered / 2000 >= 0.94


def test_another_threshold_on_the_same_units(samples):
    view = View(detector := tiny_detector(), next(iter(detector.smoothing)))
    statistic = Statistic(a=0, b=1, a2=0, b2=1)
    low = measure_sees(view, samples, ZRule(statistic, 1, -1e9, CommonRule(1e9, 3, 8)), view.score(samples[:2]), 0.95)
    assert low.rule is not None
    assert [(row.found, row.total) for row in low.rule.sizes] == [(0, 8)] * 3
    assert (low.rule.alarms.found, low.rule.real.found, low.real.found) == (3, 0, 2)

    z = low.sizes[2].z
    assert len(z) == 8 and list(z) == sorted(z)
    middle = (z[3] + z[4]) / 2
    again = measure_sees(view, samples, ZRule(statistic, 1, middle), (), 0.95)
    moved = sees_at(low, middle)
    assert moved.sizes == again.sizes
    assert moved.kinds == again.kinds
    assert sees_at(low, z[0]).sizes[2].found == 7
    # z that was not kept shows nothing at another threshold.
    unknown = low.model_copy(update={"sizes": tuple(row.model_copy(update={"z": ()}) for row in low.sizes)})
    assert sees_at(unknown, -1e9).blind


def test_the_common_rule():
    z = np.arange(1.0, 101.0)
    rule = common_rule(z)
    assert rule.threshold == pytest.approx(1.42 * np.quantile(z, 0.95))
    assert (rule.above, rule.total) == (0, 100)
    assert common_rule(np.append(z, 500.0)).above == 1
    assert common_rule(-z) is None
    assert common_rule(np.array([])) is None
