"""Defects painted on images: where they lie, that they repeat, and which kinds are for what."""

import numpy as np
import pytest

from calibrate.defects.kinds import KINDS
from calibrate.defects.on_images import EVALUATION_KINDS, TUNE_KINDS, defect_on, foreground
from calibrate.embedded.samples.products import belt_part, inbox_part


def part_on_a_table(side=160):
    """A bright square part, 80 px wide, on a dark table, both with a little grain."""
    rng = np.random.default_rng(0)
    image = np.full((side, side, 3), 40.0)
    image[40:120, 40:120] = 170
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def test_kinds_for_judging_are_apart_from_those_for_tuning():
    assert not set(EVALUATION_KINDS) & set(TUNE_KINDS)
    assert set(KINDS) - set(EVALUATION_KINDS) - set(TUNE_KINDS) == {"noise_swap", "fracture", "broken_off"}
    assert len(EVALUATION_KINDS) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_the_mask_is_where_the_pixels_changed(kind):
    image = part_on_a_table()
    region = foreground(image)
    for seed in range(4):
        before = image.copy()
        out, mask, name = defect_on(image, np.random.default_rng(seed), (kind,))
        assert name == kind
        assert (image == before).all()
        changed = (out != image).any(axis=2)
        assert not (changed & ~mask).any()
        assert changed[mask].mean() > 0.8
        assert mask.any()
        assert not (mask & ~region).any()


def test_the_same_seed_gives_the_same_defect_and_others_another():
    image = inbox_part(5).image
    one, two, other = (defect_on(image, np.random.default_rng(s), TUNE_KINDS) for s in (1, 1, 2))
    assert (one[0] == two[0]).all() and (one[1] == two[1]).all() and one[2] == two[2]
    assert (one[1] != other[1]).any()


def test_foreground_is_the_part_or_else_the_frame():
    image = part_on_a_table()
    found = foreground(image)
    truth = np.zeros(found.shape, bool)
    truth[40:120, 40:120] = True
    assert (found & truth).sum() / (found | truth).sum() > 0.9
    lit = image.copy()
    lit[2:8, 10:150] = 255
    assert not foreground(lit)[:30].any()
    assert foreground(inbox_part(3).image).all()
    speck = np.full((100, 100, 3), 90, np.uint8)
    speck[50:56, 50:56] = 250
    assert foreground(speck).all()
    assert foreground(np.full((20, 30, 3), 7, np.uint8)).shape == (20, 30)
    assert 0.1 < foreground(belt_part(3).image).mean() <= 1


def test_sizes_range_from_small_to_large():
    image = part_on_a_table(320)
    region = np.ones(image.shape[:2], bool)
    shares = [defect_on(image, np.random.default_rng(s), ("blob",), region)[1].mean() for s in range(60)]
    assert np.quantile(shares, 0.1) < 0.002
    assert max(shares) > 0.02


def test_what_cannot_be_painted_is_refused():
    with pytest.raises(ValueError, match="unknown defect kind"):
        defect_on(part_on_a_table(), np.random.default_rng(0), ("rust",))
    with pytest.raises(ValueError, match="too small"):
        defect_on(part_on_a_table(), np.random.default_rng(0), ("blob",), np.zeros((160, 160), bool))
