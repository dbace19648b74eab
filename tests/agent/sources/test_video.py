"""Videos written by OpenCV, read back frame by frame or at their own speed."""

import threading

import cv2
import numpy as np
import pytest

from agent.config.source import VideoSource
from agent.errors import SourceError
from agent.sources.capture_process import CaptureFailed, Opened
from agent.sources.video import Video
from tests.factories.agent import FakeClock, KeepingSink
from tests.factories.streams import FFMPEG, FakeCapturing, capture_processes, ffmpeg, images, moving_picture


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for level in range(0, 200, 10):
        writer.write(np.full((48, 64, 3), (level, 0, 250), np.uint8))
    writer.release()
    return path


def play(path, clock, stop, **settings):
    sink = KeepingSink()
    source = Video("belt", VideoSource(type="video", path=path, **settings), sink, clock)
    source.check()
    source.run(stop)
    return source, sink


def test_every_frame_is_a_discrete_frame_in_rgb(film):
    source, sink = play(film, FakeClock(), threading.Event())
    assert [f.frame_number for f in sink.frames] == list(range(20))
    assert all(f.discrete for f in sink.frames)
    assert sink.frames[0].image[20, 20, 0] > 230 and sink.frames[0].image[20, 20, 2] < 20
    assert source.health == "finished"
    assert capture_processes() == set()


def test_realtime_plays_at_the_speed_of_the_file(film):
    clock = FakeClock()
    _, sink = play(film, clock, threading.Event(), realtime=True)
    assert len(sink.frames) == 20 and not sink.frames[0].discrete
    assert sink.frames[-1].monotonic - sink.frames[0].monotonic == pytest.approx(1.9)


def test_realtime_with_a_limit_counts_what_it_skips(film):
    _, sink = play(film, FakeClock(), threading.Event(), realtime=True, max_fps=4)
    assert len(sink.frames) < 10
    assert sink.tally.snapshot().dropped == {"max_fps": 20 - len(sink.frames)}


def test_a_limit_only_slows_a_judged_video_down(film):
    clock = FakeClock()
    _, sink = play(film, clock, threading.Event(), max_fps=2)
    assert len(sink.frames) == 20 and clock.time - 100 == pytest.approx(9.5)


def test_loop_begins_again_until_stopped(film):
    stop = threading.Event()
    _, sink = play(film, FakeClock(stop, end=5), stop, realtime=True, loop=True)
    assert len(sink.frames) > 40
    assert [f.frame_number for f in sink.frames[19:22]] == [19, 0, 1]
    assert [f.seq for f in sink.frames] == list(range(1, len(sink.frames) + 1))


def test_all_passes_of_a_loop_are_read_by_one_process(film):
    seen, stop = set(), threading.Event()

    class Watching(KeepingSink):
        def put(self, frame, stop):
            seen.update(capture_processes())
            return super().put(frame, stop)

    sink = Watching()
    section = VideoSource(type="video", path=film, realtime=True, loop=True)
    Video("belt", section, sink, FakeClock(stop, end=10)).run(stop)
    assert len(sink.frames) > 80 and len(seen) == 1
    assert capture_processes() == set()


def test_a_looping_folder_plays_what_came_meanwhile(tmp_path):
    stop = threading.Event()
    picture = np.full((48, 64, 3), 90, np.uint8)

    class Adding(KeepingSink):
        def put(self, frame, stop):
            cv2.imwrite(str(tmp_path / f"{len(self.frames) + 1}.png"), picture)
            return super().put(frame, stop)

    cv2.imwrite(str(tmp_path / "0.png"), picture)
    sink = Adding()
    section = VideoSource(type="video", path=tmp_path, realtime=True, loop=True, fps=1)
    Video("belt", section, sink, FakeClock(stop, end=8)).run(stop)
    assert [f.frame_number for f in sink.frames][:7] == [0, 0, 1, 0, 1, 2, 3]


def test_what_is_no_video_is_one_line(tmp_path, capfd):
    (tmp_path / "text.mp4").write_text("not a video")
    for name in ("text.mp4", "missing.mp4"):
        source = Video("belt", VideoSource(type="video", path=tmp_path / name), KeepingSink())
        for call in (source.check, lambda s=source: s.run(threading.Event())):
            with pytest.raises(SourceError) as caught:
                call()
            assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, None),
        ({"realtime": True}, "the video has ended, no more frames come"),
    ],
)
def test_an_end_is_a_problem_only_where_frames_should_go_on(film, settings, problem):
    source, sink = play(film, FakeClock(), threading.Event(), **settings)
    assert len(sink.frames) == 20
    assert source.problem == problem
    assert source.health == (problem or "finished")


@pytest.mark.parametrize(("frames", "early"), [(12, True), (19, False), (20, False)])
def test_a_video_that_ends_early_is_named(film, frames, early):
    clock, sink = FakeClock(), KeepingSink()
    capture = FakeCapturing(images(frames, clock), clock, opened=Opened(frames=20))
    source = Video("belt", VideoSource(type="video", path=film), sink, clock, lambda *_: (capture, "a video"))
    source.run(threading.Event())
    assert source.problem == (f"the video ended early, after {frames} of 20 frames" if early else None)
    assert capture.closed


def test_a_decoder_that_dies_ends_the_video_by_name_and_repeats_no_frame(film):
    clock, sink = FakeClock(), KeepingSink()
    capture = FakeCapturing([*images(7, clock), CaptureFailed("its process died of signal 11")], clock)
    source = Video("belt", VideoSource(type="video", path=film), sink, clock, lambda *_: (capture, "a video"))
    source.run(threading.Event())
    assert source.problem == "the video ended early, after 7 frames: its process died of signal 11"
    assert [frame.frame_number for frame in sink.frames] == list(range(7))


def test_a_video_that_is_stopped_has_not_ended_early(film):
    stop, clock = threading.Event(), FakeClock()
    stop.set()
    source = Video("belt", VideoSource(type="video", path=film), KeepingSink(), clock)
    source.run(stop)
    assert source.problem is None


def damaged(path, at, size):
    """The same file with a hole of zeros, as a bad sector leaves it."""
    data = bytearray(path.read_bytes())
    start = int(at * len(data))
    data[start : start + size] = bytes(size)
    cut = path.with_name("hole-" + path.name)
    cut.write_bytes(data)
    return cut


def test_a_jpeg_of_a_video_with_a_hole_is_no_image_and_is_named(tmp_path):
    textured = tmp_path / "textured.avi"
    writer = cv2.VideoWriter(str(textured), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for number in range(5):
        writer.write(np.random.default_rng(number).integers(0, 255, (120, 160, 3), dtype=np.uint8))
    writer.release()
    source, sink = play(damaged(textured, 0.5, 400), FakeClock(), threading.Event())
    reasons = [frame.reason for frame in sink.frames]
    assert sorted(map(str, reasons)) == ["None"] * 4 + ["corrupt"]
    assert source.problem == "1 of 5 frames are damaged"


@pytest.mark.skipif(FFMPEG is None, reason="ffmpeg is not installed")
def test_frames_predicted_from_damage_are_no_images_until_one_stands_for_itself(tmp_path):
    film = tmp_path / "film.ts"
    ffmpeg(*moving_picture(4, 25, "320x240"), "-c:v", "libx264", "-g", "25", "-bf", "0", str(film))
    source, sink = play(damaged(film, 0.55, 700), FakeClock(), threading.Event())
    bad = [frame.frame_number for frame in sink.frames if frame.image is None]
    assert len(sink.frames) >= 95
    # From the hole, a little after the middle, to a frame 25, 50 or 75 that begins anew.
    assert bad == list(range(bad[0], bad[-1] + 1)) and len(bad) > 3
    assert 40 < bad[0] < 70 and bad[-1] < 99
    assert source.problem == f"{len(bad)} of {len(sink.frames)} frames are damaged"


def test_a_sequence_is_played_in_natural_order_at_its_fps(tmp_path):
    for number in (10, 9, 2):
        cv2.imwrite(str(tmp_path / f"part_{number}.png"), np.full((48, 64, 3), number * 20, np.uint8))
    (tmp_path / "part_3.png").write_bytes(b"no image")
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    clock = FakeClock()
    source, sink = play(tmp_path, clock, threading.Event(), realtime=True, fps=4)
    assert [None if f.image is None else int(f.image[0, 0, 0]) for f in sink.frames] == [40, None, 180, 200]
    assert [frame.reason for frame in sink.frames] == [None, "not_an_image", None, None]
    assert sink.frames[-1].monotonic - sink.frames[0].monotonic == pytest.approx(0.75)
    assert source.problem == "1 of 4 frames are damaged"


def test_a_sequence_says_what_it_plays_and_why(tmp_path, caplog):
    caplog.set_level("INFO")
    cv2.imwrite(str(tmp_path / "part_0001.png"), np.full((48, 64, 3), 90, np.uint8))
    play(tmp_path / "part_%04d.png", FakeClock(), threading.Event())
    assert "1 images of a pattern, in the order of their numbers, 25 frames a second (fps is not set)" in caplog.text


def test_an_empty_sequence_is_one_line(tmp_path):
    for path in (tmp_path, tmp_path / "part_*.png", tmp_path / "part_%d.png", tmp_path / "gone" / "part_%d.png"):
        source = Video("belt", VideoSource(type="video", path=path), KeepingSink())
        for call in (source.check, lambda s=source: s.run(threading.Event())):
            with pytest.raises(SourceError, match=r"^line belt: [^\n]*$"):
                call()
