"""Tiles that a device makes equal those of the CPU, and an image goes up once, no larger than it must be."""

import numpy as np
import pytest
import torch

from fbclip.errors import ImageError
from fbclip.images.framing import Framing, frame_image
from fbclip.images.geometry import Roi
from fbclip.images.raw_tiles import put_tiles
from fbclip.images.tiling import Tiling

RNG = np.random.default_rng(5)


def image(height=90, width=130):
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "framing",
    [
        Framing(),
        Framing(roi=Roi(x1=0.2, y1=0.3, x2=0.9, y2=0.8)),
        Framing(tiling=Tiling(columns=3, rows=2, overlap=0.25)),
        Framing(roi=Roi(x1=0.5, y1=0.0, x2=1.0, y2=0.6), tiling=Tiling(columns=2, rows=1)),
    ],
)
def test_raw_frames_become_the_same_tiles(framing):
    pixels = image()
    ready, raw = (frame_image(pixels, framing, 32, 8, raw=flag) for flag in (False, True))
    assert (ready.placement, ready.ignore) == (raw.placement, raw.ignore)
    assert len(raw.tiles) == len(ready.tiles)
    assert torch.equal(raw.network_input, ready.tiles)
    uploads = []
    made = put_tiles(list(raw.tiles), lambda tensor: uploads.append(tensor) or tensor)
    assert torch.equal(made, ready.tiles)
    assert [one.dtype for one in uploads] == [torch.uint8]
    assert uploads[0].numel() <= pixels.size


def test_a_batch_of_both_kinds_keeps_its_order():
    one, two = image(), image(40, 40)
    ready, raw = frame_image(one, Framing(), 32, 8), frame_image(two, Framing(), 32, 8, raw=True)
    mixed = put_tiles([*ready.tiles, *raw.tiles, *ready.tiles], lambda tensor: tensor)
    assert torch.equal(mixed, torch.cat([ready.tiles, raw.network_input, ready.tiles]))
    together = []
    put_tiles([*ready.tiles, *ready.tiles], lambda tensor: together.append(tensor.shape) or tensor)
    assert together == [(2, 3, 32, 32)]


def test_a_frame_that_may_not_be_written_and_one_that_is_no_image():
    pixels = image()
    pixels.flags.writeable = False
    raw = frame_image(pixels, Framing(), 32, 8, raw=True)
    assert torch.equal(put_tiles(list(raw.tiles), lambda tensor: tensor), raw.network_input)
    with pytest.raises(ImageError, match="not_an_image"):
        frame_image(pixels.astype(np.float32), Framing(), 32, 8, raw=True)
