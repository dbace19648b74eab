"""FFmpeg paints over what it lost; its log tells, and the frames after it are predicted from the damage."""

import pytest

from agent.sources.damage import DamageWatch, tells_of_damage

ERROR = "[OPENCV:FFMPEG:16] error while decoding MB 0 24, bytestream 4110\n"


@pytest.mark.parametrize(
    ("log", "damage"),
    [
        ("", False),
        (ERROR, True),
        ("[OPENCV:FFMPEG:24] Packet corrupt (stream = 0, dts = 306000).\n", True),
        ("[OPENCV:FFMPEG:32] concealing 40 DC, 40 AC, 40 MV errors in P frame\n", True),
        ("[OPENCV:FFMPEG:32] Opening 'x' for reading, missing nothing\n", False),
        ("[OPENCV:FFMPEG:24] RTP: missed 3 packets\n", True),
        ("[OPENCV:FFMPEG:24] deprecated pixel format used, make sure you did set range correctly\n", False),
        ("[OPENCV:FFMPEG:16] SEI type 5 size 128 truncated at 40\n", False),
        ("[OPENCV:FFMPEG:16] SEI type 5 truncated\nerror while decoding MB 3 4\n", True),
        ("[OPENCV:FFMPEG:24] harmless\nalso harmless, of the same level\n", False),
    ],
)
def test_what_tells_of_damage(log, damage):
    assert tells_of_damage(log) is damage


def test_damage_lasts_until_a_frame_that_stands_for_itself():
    watch = DamageWatch()
    assert not watch.is_damaged("", "I")
    assert watch.is_damaged(ERROR, "P")
    # The damaged frame may come out later than what was said of it, and be such a frame itself.
    assert watch.is_damaged("", "I")
    assert all(watch.is_damaged("", "P") for _ in range(30))
    assert not watch.is_damaged("", "I")
    assert not watch.is_damaged("", "P")
