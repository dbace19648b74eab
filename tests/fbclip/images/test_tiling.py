"""Tiles cover the image, their maps add up to one, and what lies in a tile is found where it is."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fbclip.decision import Statistic, regions_above
from fbclip.detector import Job
from fbclip.errors import ImageError
from fbclip.images.framing import Framing, frame_image
from fbclip.images.geometry import Placement, Roi
from fbclip.images.preprocess import preprocess
from fbclip.images.tiling import Tiling, map_shape, stitch, tile_placements

TILINGS = st.builds(
    Tiling, columns=st.integers(2, 5), rows=st.integers(1, 5), overlap=st.sampled_from([0.0, 0.1, 0.25, 0.5])
)


@given(tiling=TILINGS, size=st.integers(8, 40), width=st.integers(40, 900), height=st.integers(40, 900))
@settings(max_examples=80, deadline=None)
def test_tiles_cover_the_region_of_interest_and_nothing_else(tiling, size, width, height):
    covered = np.zeros((height + 20, width + 20), int)
    for p in tile_placements(Placement(7, 5, width, height), size, tiling):
        covered[p.y : p.y + p.height, p.x : p.x + p.width] += 1
    assert covered[5 : 5 + height, 7 : 7 + width].min() >= 1
    assert covered.sum() == covered[5 : 5 + height, 7 : 7 + width].sum()


@given(tiling=TILINGS, size=st.integers(8, 40))
@settings(max_examples=80, deadline=None)
def test_stitched_weights_add_up_to_one_everywhere(tiling, size):
    tiles = torch.full((tiling.columns * tiling.rows, size, size), 3.5)
    whole = stitch(tiles, tiling)
    assert tuple(whole.shape) == map_shape(size, tiling)
    assert torch.allclose(whole, torch.full_like(whole, 3.5), atol=1e-6)


def test_tiles_of_one_scene_give_the_scene_back():
    """Where neighbours agree, the stitched map is the map: cut a smooth map into its tiles and join them."""
    tiling = Tiling(columns=3, rows=2, overlap=0.25)
    height, width = map_shape(16, tiling)
    scene = torch.arange(height * width, dtype=torch.float32).reshape(height, width)
    stride = 12
    tiles = [scene[r * stride : r * stride + 16, c * stride : c * stride + 16] for r in range(2) for c in range(3)]
    assert torch.allclose(stitch(torch.stack(tiles), tiling), scene, rtol=1e-6)


def test_one_tile_that_is_not_finite_is_seen_in_the_whole():
    tiles = torch.zeros(2, 8, 8)
    tiles[1, 4, 4] = float("nan")
    assert not torch.isfinite(stitch(tiles, Tiling(columns=2, rows=1))).all()


def test_a_tiled_image_speaks_with_its_largest_margin_and_keeps_its_places(detector):
    tiling = Tiling(columns=2, rows=2, overlap=0.25)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)
    adapter = detector.adapters[0]
    framed = detector.frame(image, Framing(tiling=tiling))
    assert framed.tiles.shape == (4, 3, 32, 32)
    whole = detector.infer([Job(framed.tiles, adapter, 1.0, tiling)])[0]
    parts = [detector.infer([Job(tile[None], adapter, 1.0)])[0] for tile in framed.tiles]
    assert whole.margin == pytest.approx(max(p.margin for p in parts), rel=1e-5)
    assert whole.map.shape == map_shape(32, tiling)
    # Corners belong to one tile each, so there the maps are equal.
    scale = np.abs(whole.map).max()
    assert np.abs(whole.map[:24, :24] - parts[0].map[:24, :24]).max() <= 1e-5 * scale
    assert np.abs(whole.map[-24:, -24:] - parts[3].map[-24:, -24:]).max() <= 1e-5 * scale

    second = tile_placements(Placement(0, 0, 120, 90), 32, tiling)[1]
    assert torch.equal(framed.tiles[1], preprocess(image, 32, second))


def test_many_tiles_and_plain_images_share_a_batch(detector):
    tiling = Tiling(columns=4, rows=3, overlap=0.1)
    torch.manual_seed(3)
    first, second = detector.adapters
    rows = [Job(torch.randn(12, 3, 32, 32), first, 1.0, tiling), Job(torch.randn(1, 3, 32, 32), second, 2.0)]
    together = detector.infer(rows)
    for job, prediction in zip(rows, together, strict=True):
        (alone,) = detector.infer([job])
        assert alone.margin == pytest.approx(prediction.margin, rel=1e-5)
        assert np.abs(alone.map - prediction.map).max() <= 1e-5 * np.abs(alone.map).max()


def test_regions_of_a_wide_map_are_reported_in_original_pixels():
    values = np.zeros((20, 60), np.float32)
    values[5:10, 30:36] = 4
    from fbclip.decision import Prediction

    found = regions_above(
        Prediction(0, 0.5, values), Statistic(a=0, b=1, a2=0, b2=1), 1, 4, Placement(10, 20, 600, 400)
    )
    assert [r.box for r in found] == [(310, 120, 370, 220)]
    assert found[0].area_px == 6000
    assert found[0].margin_max == 4


def test_an_ignore_mask_follows_the_tiles():
    tiling = Tiling(columns=2, rows=1, overlap=0.5)
    mask = np.zeros((60, 120), bool)
    mask[:, 60:] = True
    image = np.zeros((60, 120, 3), np.uint8)
    framed = frame_image(image, Framing(tiling=tiling, mask=mask), 32, 8)
    assert framed.ignore.shape == map_shape(32, tiling) == (32, 48)
    assert framed.ignore[:, 24:].all()
    assert not framed.ignore[:, :24].any()


@pytest.mark.parametrize(
    ("framing", "reason"),
    [
        (Framing(roi=Roi(x1=0, y1=0, x2=0.1, y2=1)), "too_small"),
        (Framing(tiling=Tiling(columns=8, rows=1)), "too_small"),
        (Framing(mask=np.zeros((4, 4), bool)), "wrong_size"),
    ],
)
def test_frames_that_cannot_be_looked_at_are_named(framing, reason):
    with pytest.raises(ImageError) as caught:
        frame_image(np.zeros((60, 60, 3), np.uint8), framing, 56, 14)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "bad", [{"columns": 1, "rows": 1}, {"columns": 9, "rows": 9}, {"columns": 2, "rows": 1, "overlap": 0.6}]
)
def test_tilings_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValidationError):
        Tiling(**bad)
