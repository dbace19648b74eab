"""What a profile states, over the whole chain from scores to statement, in 2,000 simulated lines each."""

import numpy as np
import pytest
from scipy.stats import norm

from agent.collecting.grouping import ChangeGrouping, GapGrouping, TriggerGrouping
from calibrate.statistics.scale import fit_statistic
from calibrate.statistics.serial import serial_dependence
from calibrate.threshold.operating_point import set_threshold
from calibrate.threshold.request import ThresholdTarget
from calibrate.threshold.sees import _row
from calibrate.threshold.unit_scores import unit_maxima

DRAWS = 2000
PARTS, FRAMES = 24, 3
TARGET = ThresholdTarget(0.2, 0.9, 0.5)
FRAME_NOISE = 0.2


def units_of(way, rng, parts):
    """The shipped grouping on what a camera would give of these frames: times, ids or pictures."""
    if way == "trigger":
        by_id = TriggerGrouping()
        return [by_id.unit_of(f"id-{p}") for p in parts]
    if way == "gap":
        pause = rng.uniform(2.5, 6, len(parts))
        times = np.cumsum(np.where(np.diff(parts, prepend=-1) > 0, pause, 0.2))
        by_gap = GapGrouping(2.0)
        return [by_gap.unit_of(now) for now in times]
    shown = rng.normal(0, 10, (PARTS, 4, 4)).astype(np.float32)
    noise = rng.normal(0, 0.4, (len(parts), 4, 4)).astype(np.float32)
    by_change = ChangeGrouping()
    return [by_change.unit_of(shown[p] + noise[at]) for at, p in enumerate(parts)]


def slowly(rng, keep=0.8):
    """z of parts that depend on the part before: the light fades and comes back, a tool wears."""
    z = rng.normal(size=PARTS)
    for at in range(1, PARTS):
        z[at] = keep * z[at - 1] + np.sqrt(1 - keep**2) * z[at]
    return z


def share_above(threshold, grid=np.linspace(-4, 4, 401)):
    """P(a further unit of FRAMES frames has a z above)."""
    frame_maxima = 1 - norm.cdf((threshold - grid) / FRAME_NOISE) ** FRAMES
    weights = norm.pdf(grid)
    return float((frame_maxima * weights).sum() / weights.sum())


@pytest.mark.parametrize("way", ["gap", "trigger", "change"])
def test_false_alarms_of_correlated_frames_of_correlated_parts(way):
    """Frames of a part depend on each other, and so do parts: grouped and counted for what they are worth."""
    rng, broken, naive = np.random.default_rng(23), 0, 0
    frames = FRAMES + 2 if way == "change" else FRAMES
    parts = np.repeat(np.arange(PARTS), frames)
    for _ in range(DRAWS):
        z = slowly(rng)[parts] + rng.normal(0, FRAME_NOISE, len(parts))
        kept, seen = [], {}
        for at, unit in enumerate(units_of(way, rng, parts)):
            if unit is not None and seen.setdefault(unit, 0) < FRAMES:
                seen[unit] += 1
                kept.append((str(unit), z[at]))
        units = unit_maxima(*zip(*kept, strict=True))
        found = serial_dependence(units)
        for worth in (None if found is None else found.effective, None):
            made = set_threshold(units, TARGET, worth)
            kept_promise = made.guarantee is None or share_above(made.value) <= TARGET.alpha
            if worth is None and found is not None:
                naive += not kept_promise
            else:
                broken += not kept_promise
    # 2,000 draws of 0.1 lie below 0.12 with probability 0.998.
    assert broken / DRAWS <= 0.12, broken / DRAWS
    assert naive / DRAWS > 0.15, naive / DRAWS


@pytest.mark.parametrize("held_out", [10, 30])
def test_what_is_found_of_painted_defects_lies_in_its_interval(held_out):
    """The units that carry defects also set the scale of z: the interval has to cover in spite of that."""
    rng, covered = np.random.default_rng(29), np.zeros(3)
    shifts = np.array([1.0, 2.5, 4.0])[:, None]

    def terms(n):
        """(margin, map) of n units: the two go together, as of real images."""
        common = rng.standard_t(5, n)
        return 0.8 * common + 0.6 * rng.normal(size=n), 0.5 * common + rng.gumbel(size=n)

    for _ in range(DRAWS):
        scale = terms(held_out)
        s = fit_statistic(*scale, pixel_only=False)

        def z(margin, peak, s=s):
            return np.maximum((margin - s.a) / s.b, (peak - s.a2) / s.b2)

        threshold = set_threshold(z(*terms(60)), ThresholdTarget(0.05, 0.95, 0.25)).value
        painted = z(scale[0] + shifts, scale[1] + shifts)
        fresh = terms(1000)
        truth = (z(fresh[0] + shifts, fresh[1] + shifts) > threshold).mean(axis=1)
        for row in range(3):
            share = _row("large", painted[row], threshold, 0.95)
            covered[row] += share.low <= truth[row] <= share.high
    # 2,000 draws of 0.95 lie above 0.935 with probability 0.998.
    assert (covered / DRAWS >= 0.935).all(), covered / DRAWS
