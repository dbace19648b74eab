"""Videos written by OpenCV, read back frame by frame or at their own speed."""

import threading

import cv2
import numpy as np
import pytest

from agent.config.line import VideoSource
from agent.errors import SourceError
from agent.sources.video import Video
from tests.factories.agent import FakeCapture, FakeClock, KeepingSink


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


class CutFilm(FakeCapture):
    """Its header promises more frames than can be read."""

    def get(self, propId: int) -> float:
        return 20.0 if propId == cv2.CAP_PROP_FRAME_COUNT else 0.0


@pytest.mark.parametrize(("frames", "early"), [(12, True), (19, False), (20, False)])
def test_a_video_that_ends_early_is_named(film, monkeypatch, frames, early):
    clock, sink = FakeClock(), KeepingSink()
    source = Video("belt", VideoSource(type="video", path=film), sink, clock)
    monkeypatch.setattr("agent.sources.video.open_capture", lambda _: CutFilm(frames, clock))
    source.run(threading.Event())
    assert source.problem == (f"the video ended early, after {frames} of 20 frames" if early else None)


def test_a_video_that_is_stopped_has_not_ended_early(film):
    stop, clock = threading.Event(), FakeClock()
    stop.set()
    source = Video("belt", VideoSource(type="video", path=film), KeepingSink(), clock)
    source.run(stop)
    assert source.problem is None
