"""The demo's products: units vary mildly, and their defects are obvious."""

from __future__ import annotations

import numpy as np
import pytest

from calibrate.defects.kinds import KINDS
from calibrate.embedded.samples.products import SAMPLE_DEFECTS, belt_part, inbox_part


@pytest.mark.parametrize("make", [belt_part, inbox_part])
def test_demo_units_vary_mildly_and_their_defects_are_obvious(make: type) -> None:
    normal = np.stack([make(s).image for s in range(8)]).astype(float)
    assert np.abs(normal - normal.mean(axis=0)).mean() < 8
    for kind in SAMPLE_DEFECTS:
        scene = make(5, kind)
        assert scene.label == 1
        change = np.abs(scene.image.astype(float) - make(5).image).mean(axis=2)
        assert change[scene.mask].mean() > 4 * change[~scene.mask].mean()


def test_an_unknown_defect_is_refused_and_every_known_one_is_a_kind() -> None:
    with pytest.raises(ValueError, match="unknown demo defect"):
        belt_part(0, "nonsense")
    assert set(SAMPLE_DEFECTS) <= set(KINDS)
