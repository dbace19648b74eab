"""Evidence images: fixed limits, names that tell nothing, and a full disk that stops nobody."""

import os
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest

from agent.pipeline.evidence import BOX_COLOUR, EvidenceWriter, overlay
from agent.records import Frame
from fbclip.decision import Decision, Region, Verdict
from fbclip.images.geometry import Placement
from tests.factories.agent import FakeClock

IMAGE = np.full((60, 80, 3), 100, np.uint8)
WHOLE = Placement(0, 0, 80, 60)
FRAME = Frame("belt", 7, datetime(2026, 3, 4, tzinfo=UTC), 0.0, IMAGE, path="in/miller anna.png")
DECISION = Decision(Verdict.ANOMALY, None, 2.0, 1.0, 0.7, 1.0, (Region((10, 10, 30, 30), 400, 3.0),))
MAP = np.linspace(-1, 3, 256, dtype=np.float32).reshape(16, 16)


def test_both_images_are_written_under_names_that_tell_nothing(tmp_path):
    refs = EvidenceWriter(tmp_path, "run1").save(FRAME, MAP, WHOLE, (0.0, 2.0), DECISION)
    assert refs.image_ref == "pictures/belt/2026-03-04/run1-7.jpg"
    assert refs.overlay_ref == "pictures/belt/2026-03-04/run1-7-overlay.jpg"
    stored = cv2.imread(str(tmp_path / refs.image_ref))
    assert stored.shape == IMAGE.shape and abs(int(stored[5, 5, 0]) - 100) < 3
    assert not list(tmp_path.rglob("*.tmp"))


def test_without_a_map_or_an_image(tmp_path):
    writer = EvidenceWriter(tmp_path, "r")
    assert writer.save(FRAME, None, None, None, DECISION).overlay_ref is None
    lost = Frame("belt", 8, FRAME.ts, 0.0, None, "camera_lost")
    assert writer.save(lost, None, None, None, DECISION).image_ref is None
    assert writer.failures == 0


def test_a_disk_that_cannot_be_written_costs_the_image_only_and_health_is_about_now(tmp_path):
    (tmp_path / "pictures").write_text("a file where the folder should be")
    clock = FakeClock()
    writer = EvidenceWriter(tmp_path, "r", monotonic=clock.monotonic)
    refs = writer.save(FRAME, MAP, WHOLE, (0.0, 2.0), DECISION)
    assert (refs.image_ref, refs.overlay_ref, writer.failures) == (None, None, 1)
    assert "cannot be written" in writer.problem()
    clock.time += 61
    assert writer.problem() is None
    writer.save(FRAME, MAP, WHOLE, (0.0, 2.0), DECISION)
    (tmp_path / "pictures").unlink()
    assert writer.save(FRAME, MAP, WHOLE, (0.0, 2.0), DECISION).overlay_ref and writer.problem() is None


def test_below_the_floor_nothing_is_written_so_that_verdicts_have_room(tmp_path):
    free = [63 << 20]
    writer = EvidenceWriter(tmp_path, "r", usage=lambda _: (1 << 40, free[0]))
    assert writer.save(FRAME, MAP, WHOLE, (0.0, 2.0), DECISION).image_ref is None
    assert list(tmp_path.iterdir()) == [] and writer.failures == 1
    assert writer.problem() == "evidence images are not kept: the disk has 63 MB free, the floor is 64 MB"
    free[0] = 64 << 20
    assert writer.problem() is None
    assert writer.save(FRAME, MAP, WHOLE, (0.0, 2.0), DECISION).image_ref


def test_images_are_for_this_account_only(tmp_path):
    before = os.umask(0o077)
    try:
        refs = EvidenceWriter(tmp_path, "r").save(FRAME, MAP, WHOLE, (0.0, 2.0), DECISION)
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "pictures").rglob("*") if path.is_dir()}
    assert modes == {0o700} and (tmp_path / refs.image_ref).stat().st_mode & 0o777 == 0o600


def test_heat_is_coloured_against_the_limits_and_not_the_image():
    cold = overlay(IMAGE, MAP - 10, WHOLE, (0.0, 2.0))
    assert np.array_equal(cold, IMAGE)
    same = np.full((16, 16), 2.0, np.float32)
    hot, hotter = overlay(IMAGE, same, WHOLE, (0.0, 2.0)), overlay(IMAGE, same + 50, WHOLE, (0.0, 2.0))
    assert np.array_equal(hot, hotter) and not np.array_equal(hot, IMAGE)


def test_heat_stays_inside_the_placement_and_the_frame_is_not_touched():
    before = IMAGE.copy()
    overlaid = overlay(IMAGE, np.full((16, 16), 9.0, np.float32), Placement(20, 10, 40, 30), (0.0, 2.0))
    assert np.array_equal(IMAGE, before)
    changed = (overlaid != IMAGE).any(axis=2)
    assert changed[10:40, 20:60].all() and changed.sum() == 40 * 30


def test_boxes_are_half_open():
    overlaid = overlay(IMAGE, MAP - 10, WHOLE, (0.0, 2.0), (Region((10, 10, 30, 30), 400, 3.0),))
    assert tuple(overlaid[29, 29]) == BOX_COLOUR and tuple(overlaid[30, 30]) == (100, 100, 100)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_do_not_stop_the_overlay(value):
    assert overlay(IMAGE, np.full((4, 4), value, np.float32), WHOLE, (0.0, 1.0)).shape == IMAGE.shape
