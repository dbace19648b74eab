"""What the user may say of units, and what of it a source can do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from agent.collecting.unit_rule import ByChange, ByGap, ByTrigger, EachFrame, capture_seconds, unit_rule
from agent.config.line import LineSection
from agent.errors import SourceError
from agent.records import Frame
from fbclip.errors import ConfigError

START = datetime(2026, 1, 1, tzinfo=UTC)
CAMERA = {"type": "camera", "device": 0}


def a_line(source):
    return LineSection(name="belt", source=source, mode="learning")


def a_frame(seq=1, seconds=0.0, context=None):
    image = np.zeros((8, 8, 3), np.uint8)
    return Frame("belt", seq, START + timedelta(seconds=seconds), seconds, image, context=context)


def test_each_source_has_its_way(tmp_path):
    for number in range(2):
        (tmp_path / f"p_{number}.png").write_bytes(b"")
    (tmp_path / "v.mp4").write_bytes(b"")
    folder = a_line({"type": "folder", "path": tmp_path})
    assert isinstance(unit_rule(None, a_line(CAMERA)), ByChange)
    assert isinstance(unit_rule(None, a_line({"type": "video", "path": tmp_path / "v.mp4"})), ByChange)
    assert isinstance(unit_rule(None, folder), EachFrame)
    assert isinstance(unit_rule(None, a_line({"type": "video", "path": tmp_path / "p_*.png"})), EachFrame)
    assert isinstance(unit_rule(None, a_line(CAMERA), every=10), EachFrame)
    assert isinstance(unit_rule("gap:2s", folder), ByGap)
    assert isinstance(unit_rule("trigger", a_line(CAMERA)), ByTrigger)


@pytest.mark.parametrize("text", ["gap", "gap:", "gap:0s", "gap:2", "gap:-1s", "gap:9999999m", "changes", ""])
def test_another_word_is_refused_with_what_to_say(text):
    with pytest.raises(ConfigError, match="must be gap:SECONDS such as gap:2s, trigger or change"):
        unit_rule(text, a_line(CAMERA))


def test_a_video_has_no_pauses(tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"")
    with pytest.raises(ConfigError, match="no pauses; use --unit change"):
        unit_rule("gap:2s", a_line({"type": "video", "path": tmp_path / "v.mp4"}))


def test_gap_and_trigger_group_what_comes_with_the_frame():
    gap, trigger = unit_rule("gap:500ms", a_line(CAMERA)), unit_rule("trigger", a_line(CAMERA))
    assert [gap.unit_of(a_frame(seconds=s)) for s in (0, 0.2, 0.7, 1.3, 1.4)] == [1, 1, 1, 2, 2]
    parts = [a_frame(context={"part": p}) for p in ("a", "a", 7, "a", "b")]
    assert [trigger.unit_of(f) for f in parts] == [1, 1, 2, 1, 3]
    with pytest.raises(SourceError, match="frame 9 came without the id of its part"):
        trigger.unit_of(a_frame(seq=9))


def test_a_file_is_as_old_as_it_was_written(tmp_path):
    import os

    (tmp_path / "a.png").write_bytes(b"")
    os.utime(tmp_path / "a.png", (1000.5, 1000.5))
    assert capture_seconds(replace(a_frame(), path=str(tmp_path / "a.png"))) == 1000.5
    assert capture_seconds(replace(a_frame(), path=str(tmp_path / "gone.png"))) == START.timestamp()
