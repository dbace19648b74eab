"""Means and intervals over seeds and test units, and the tables of them."""

import numpy as np
import pytest

from calibrate.few_shot.curve import mean_curve, measured_curve
from calibrate.few_shot.document import METHODS
from calibrate.few_shot.experiment import FewShotPoint, LabelTotals
from calibrate.few_shot.run import table
from calibrate.statistics.bootstrap import draw_weights, weighted_ranking


def point(count, seed, draws, chosen="memory", measures=("image",)):
    """A memory whose methods all have the same draws, the first as the images are."""
    return FewShotPoint(count, seed, chosen, {(m, k): np.array(draws) for m in METHODS for k in measures})


def curve_of(points, name="a", images=3, seed=0):
    return measured_curve(name, points, images, LabelTotals(5, 4), np.random.default_rng(seed))


def test_interval_covers_seeds_and_test_images():
    # The same test draws, seeds that differ: what is left is which seeds are drawn.
    seeds = [0.5, 0.6, 0.7, 0.8, 0.9]
    step = curve_of([point(1, k, [value] * 4001) for k, value in enumerate(seeds)]).curve.steps[0]
    found = step.image["memory"]
    assert (found.values, found.mean) == (tuple(seeds), pytest.approx(0.7))
    drawn = np.random.default_rng(9).choice(seeds, (100_000, 5)).mean(axis=1)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, (0.025, 0.975))), abs=0.021)
    assert step.took == {"memory": 5}
    assert step.pixel is None

    # One seed: the interval is that of the test images.
    rng = np.random.default_rng(4)
    margins, labels = rng.normal(size=40), np.arange(40) < 15
    weights = np.concatenate(list(draw_weights([str(k) for k in range(40)], labels, 500, rng)))
    areas = weighted_ranking(margins + labels, labels, np.concatenate((np.ones((1, 40)), weights))).auroc
    alone = curve_of([point(3, 0, areas)]).curve.steps[0].image["fused"]
    assert alone.mean == areas[0]
    assert (alone.low, alone.high) == pytest.approx(tuple(np.quantile(areas[1:], (0.025, 0.975))))

    # Both together are less sure than either, and the same call gives the same again.
    both = [point(1, k, np.clip(areas + value - 0.7, 0, 1)) for k, value in enumerate(seeds)]
    wide = curve_of(both).curve.steps[0].image["fused"]
    assert wide.high - wide.low > max(alone.high - alone.low, found.high - found.low)
    assert curve_of(both).curve == curve_of(both).curve


def test_mean_over_sets_takes_the_numbers_that_all_have():
    masked = ("image", "pixel")
    one = curve_of([point(1, 0, [0.5, 0.4, 0.6], measures=masked), point(3, 0, [0.9, 0.9, 0.9], measures=masked)])
    two = curve_of([point(1, 0, [1.0, 1.0, 1.0], "fused"), point(2, 0, [1.0, 1.0, 1.0])], "b", 2)
    both = mean_curve([one, two])
    [step] = both.steps
    assert (both.name, both.test_normal, both.test_anomalous, step.images) == ("mean of 2", 10, 8, 1)
    assert step.took == {"memory": 1, "fused": 1}
    assert (step.image["memory"].values, step.image["memory"].mean) == ((0.5, 1.0), 0.75)
    assert 0.7 <= step.image["memory"].low < step.image["memory"].high <= 0.8
    assert (step.pixel["memory"].values, step.pixel["memory"].mean) == ((0.5,), 0.5)
    assert mean_curve([one]) is None
    assert mean_curve([one, curve_of([point(7, 0, [0.5, 0.5])], "c")]) is None


def test_tables_tell_mean_and_interval():
    points = [point(1, 0, [0.5, 0.5, 0.5]), point(1, 1, [0.5, 0.5, 0.5], "fused"), point(3, 0, [0.9, 0.8, 0.8])]
    shown = table(curve_of(points).curve)
    cells = " | ".join(["0.500 (0.500..0.500)"] * 4)
    assert f"| 1 | {cells} | memory 1, fused 1 |" in shown
    assert "| 3 (all) | 0.900 (0.800..0.800) |" in shown
    assert "pixels" not in shown
