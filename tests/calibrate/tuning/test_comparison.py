"""Did tuning help: few units decide nothing, noise is not adopted, a loss of the map counts."""

from dataclasses import replace

import numpy as np
import pytest

from calibrate.tuning.comparison import AdapterScores, compare


def drawn_scores(rng, n, gain, noise=0.3):
    """n normal and n anomalous units whose defects stand 1 σ above, `gain` more of it afterwards."""
    labels = np.repeat([False, True], n)
    before = rng.normal(0, 1, 2 * n) + labels
    after = before + gain * labels + rng.normal(0, noise, 2 * n)
    return AdapterScores(np.arange(2 * n).astype(str), labels, before, after)


def test_few_units_decide_nothing():
    comparison = compare(drawn_scores(np.random.default_rng(0), 5, 5.0))
    assert (comparison.decision, comparison.normal_units, comparison.anomalous_units) == ("undecided, base kept", 5, 5)
    frames = drawn_scores(np.random.default_rng(0), 60, 5.0)
    as_parts = replace(frames, units=np.array([str(int(u) // 10) for u in frames.units]))
    assert compare(as_parts).decision == "undecided, base kept"


def test_a_real_improvement_is_kept_and_a_loss_is_not():
    rng = np.random.default_rng(1)
    better = compare(drawn_scores(rng, 60, 1.5))
    assert better.decision == "kept" and better.tuned_is_better
    assert 0 < better.image.low < better.image.difference < better.image.high
    assert compare(drawn_scores(rng, 60, -1.0)).decision == "not better, base kept"
    same = drawn_scores(rng, 60, 0.0, noise=0.0)
    assert compare(same).decision == "not better, base kept"


def test_a_change_without_effect_is_rarely_adopted():
    rng = np.random.default_rng(2)
    adopted = sum(compare(drawn_scores(rng, 25, 0.0, 0.5), resamples=400).decision == "kept" for _ in range(150))
    # Nominally 2.5 % of changes; after is noisier than before, so it is less.
    assert adopted <= 8


def test_a_loss_of_the_maps_speaks_against():
    scores = drawn_scores(np.random.default_rng(3), 60, 1.5)
    before = np.where(scores.labels, 0.9, np.nan)
    worse = compare(replace(scores, pixel_before=before, pixel_after=before - 0.1))
    assert worse.decision == "not better, base kept"
    assert worse.pixel.difference == pytest.approx(-0.1)
    assert compare(replace(scores, pixel_before=before, pixel_after=before + 0.01)).decision == "kept"


def test_the_comparison_is_seeded_and_refuses_nonsense():
    scores = drawn_scores(np.random.default_rng(4), 30, 0.5)
    assert compare(scores, 7) == compare(scores, 7)
    assert compare(replace(scores, before=None)).decision == "no base"
    with pytest.raises(ValueError, match="finite"):
        compare(replace(scores, after=scores.after * np.nan))
    with pytest.raises(ValueError, match="normal and anomalous"):
        compare(replace(scores, labels=np.ones(60, bool)))
