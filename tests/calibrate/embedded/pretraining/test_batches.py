"""Batches: a function of seed and step, with captions of what is in the window."""

from __future__ import annotations

import torch

from calibrate.embedded.pretraining.batches import PATCH_FLOOR, draw_batch
from calibrate.embedded.pretraining.generated_images import GeneratedImages


def test_captions_follow_what_the_crop_shows(data: GeneratedImages) -> None:
    batch = draw_batch(data, 16, 64, 16, 0, 0)
    assert batch.images.shape == (16, 3, 64, 64)
    assert batch.cover.shape == (16, 4, 4)
    for caption, cover in zip(batch.captions, batch.cover, strict=True):
        assert ("with defect" in caption) == bool(cover.max() > PATCH_FLOOR)


def test_batches_depend_on_seed_and_step_alone(data: GeneratedImages) -> None:
    a, b, c = (draw_batch(data, 4, 64, 16, 0, step) for step in (7, 7, 8))
    assert torch.equal(a.images, b.images)
    assert torch.equal(a.cover, b.cover)
    assert not torch.equal(a.images, c.images)
