"""Inclusions: many of a kind, all over the image, never on a defect."""

from __future__ import annotations

import cv2
import numpy as np

from calibrate.embedded.pretraining.inclusions import add_inclusions


def test_inclusions_are_many_and_leave_the_defect_alone() -> None:
    image = np.full((128, 128, 3), 120, np.uint8)
    mask = np.zeros((128, 128), bool)
    mask[40:70, 40:70] = True
    counts = []
    for seed in range(20):
        strewn = add_inclusions(image, mask, np.random.default_rng(seed))
        assert np.array_equal(strewn, add_inclusions(image, mask, np.random.default_rng(seed)))
        changed = np.abs(strewn.astype(int) - 120).max(axis=2) > 8
        assert not changed[mask].any()
        counts.append(cv2.connectedComponents(changed.astype(np.uint8))[0] - 1)
    # Shapes overlap, and some are as grey as the image; a single spot would be a defect.
    assert np.median(counts) >= 6
    assert (image == 120).all()
