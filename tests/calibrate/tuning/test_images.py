"""What tuning takes of an image: masks follow it, unusable ones are named."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from calibrate.datasets.masks import resize_mask
from calibrate.defects.on_images import DefectRequest, Item
from calibrate.embedded.samples.files import write_png
from calibrate.errors import DataError
from calibrate.inference import Skips
from calibrate.tuning.images import ImageLoader, usable_samples
from fbclip.images.framing import Framing
from fbclip.images.geometry import Placement, Roi
from tests.factories.tuning import LOADER, labelled_samples


def test_masks_follow_the_image(labelled):
    sample = next(s for s in labelled_samples(labelled) if s.label)
    whole = LOADER.load(Item(sample))
    assert whole.image.shape == (3, 56, 56)
    assert whole.mask.any() and not whole.mask.all()
    assert not LOADER.load(Item(labelled_samples(labelled)[-1])).mask.any()
    mask = np.zeros((4, 8), bool)
    mask[:, 4:] = True
    assert resize_mask(mask, Placement(4, 0, 4, 4), (6, 6)).all()
    assert not resize_mask(mask, Placement(0, 0, 4, 4), (6, 6)).any()
    painted = Item(next(s for s in labelled_samples(labelled) if not s.label), DefectRequest(("blob",), (1, 2)))
    one, two = LOADER.load(painted), LOADER.load(painted)
    assert torch.equal(one.image, two.image) and torch.equal(one.mask, two.mask) and one.mask.any()
    assert one.label == 1.0
    corner = ImageLoader(Framing(Roi(x1=0.5, y1=0.5, x2=1, y2=1)), 56, 14)
    assert corner.load(painted).mask.any()


def test_unusable_images_are_named(labelled, tmp_path):
    samples = labelled_samples(labelled)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"nothing")
    small = tmp_path / "small.png"
    write_png(small, np.full((32, 32, 3), 255, np.uint8))
    anomalous = next(s for s in samples if s.label)
    cases = [replace(anomalous, path=broken), replace(anomalous, mask=small)]
    skips = Skips(allowed=True)
    assert usable_samples([*samples, *cases], LOADER, skips) == samples
    assert [skipped.sample for skipped in skips.skipped] == cases
    assert "broken.png" in str(skips.skipped[0]) and "small.png: 32x32" in skips.skipped[1].reason
    with pytest.raises(DataError, match=r"2 images cannot be used.*--skip-bad"):
        usable_samples([*samples, *cases], LOADER, Skips())
    with pytest.raises(DataError, match=r"small\.png: 32x32"):
        LOADER.load(Item(cases[1]))
