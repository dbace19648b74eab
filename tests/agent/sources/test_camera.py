"""A camera that goes away is reported, comes back by itself, and never tells its password."""

import itertools
import threading

import numpy as np
import pytest

from agent.config.source import CameraSource
from agent.errors import SourceError
from agent.sources.camera import CAMERA_LOST, LONGEST_RETRY_S, MOST_HELD, Camera
from agent.sources.capture_process import CaptureFailed, Opened, Taken
from agent.sources.sinks import NewestSlot, Tally
from tests.factories.agent import FakeClock, KeepingSink
from tests.factories.streams import FakeCapturing, capture_processes, images

URL = "rtsp://operator:s3cret@10.0.0.5:554/stream?token=s3cret"
SAME = np.full((8, 8, 3), 7, np.uint8)


def camera(clock, captures, sink, **settings):
    section = CameraSource(type="camera", **({"device": 0} | settings))
    queue = list(captures)
    return Camera("belt", section, sink, clock, lambda *_: queue.pop(0), {"CAM": URL}, jitter=lambda: 1.0)


def closed(clock):
    return FakeCapturing([], clock, opened=None)


def test_it_reconnects_with_growing_pauses_and_starts_over_after_a_success():
    stop = threading.Event()
    clock = FakeClock(stop, end=100)
    tries = []

    def start(request, cancelled):
        tries.append(clock.time)
        return FakeCapturing(images(2, clock), clock) if len(tries) == 4 else closed(clock)

    sink = KeepingSink()
    source = Camera("belt", CameraSource(type="camera", device=0, stall_s=1000), sink, clock, start, jitter=lambda: 1.0)
    source.run(stop)
    gaps = [round(b - a, 1) for a, b in itertools.pairwise(tries)]
    # The fourth gives two images in 0.3 s, then is lost.
    assert gaps[:7] == [0.5, 1, 2, 0.8, 1, 2, 4]
    assert max(gaps) <= LONGEST_RETRY_S
    assert [f.seq for f in sink.frames] == [1, 2]
    assert sink.frames[0].image[0, 0].tolist() == [3, 2, 0]


def test_jitter_shortens_a_pause_by_up_to_half():
    stop = threading.Event()
    clock = FakeClock(stop, end=0.4)
    tries = []

    def start(request, cancelled):
        tries.append(clock.time)
        return closed(clock)

    Camera("belt", CameraSource(type="camera", device=0), KeepingSink(), clock, start, jitter=lambda: 0.0).run(stop)
    assert tries == [100, 100.25]


def test_a_lost_camera_is_reported_once_a_stall_period():
    clock, sink, stop = FakeClock(), KeepingSink(), threading.Event()
    source = camera(clock, [], sink, stall_s=10)
    times = []
    for _ in range(140):
        clock.time += 0.25
        source.watch(stop)
        if len(sink.frames) > len(times):
            times.append(clock.time - 100)
    assert times == [10, 20, 30]
    assert {(f.image is None, f.reason, f.expires) for f in sink.frames} == {(True, CAMERA_LOST, None)}
    assert source.problem == "no image for 35 s"


def test_what_was_skipped_in_the_process_is_counted():
    stop = threading.Event()
    clock, sink = FakeClock(stop, end=0.25), KeepingSink()
    turns = [Taken(100, SAME, skipped={"max_fps": 3, "replaced": 2}), Taken(100, skipped={"max_fps": 4})]
    camera(clock, [FakeCapturing(turns, clock)] * 2, sink).run(stop)
    counters = sink.tally.snapshot()
    assert (counters.grabbed, counters.dropped) == (10, {"max_fps": 7, "replaced": 2})
    assert counters.in_flight == len(sink.frames) == 1


def test_a_frame_carries_when_it_was_grabbed_and_when_it_is_too_old():
    stop = threading.Event()
    clock, sink = FakeClock(stop, end=0.25), KeepingSink()
    camera(clock, [FakeCapturing([Taken(99.0, SAME)], clock)] * 2, sink, max_age_s=2).run(stop)
    (frame,) = sink.frames
    assert (frame.monotonic, frame.expires) == (99.0, 101.0)
    assert (clock.now() - frame.ts).total_seconds() == pytest.approx(clock.time - 99.0)


def test_no_secret_in_any_text(caplog):
    stop = threading.Event()
    clock = FakeClock(stop, end=2)
    source = camera(clock, [closed(clock) for _ in range(9)], KeepingSink(), device=None, url_env="CAM")
    with pytest.raises(SourceError) as caught:
        source.check()
    source.run(stop)
    text = str(caught.value) + caplog.text + source.health + source.describe + repr(source) + str(source.problem)
    assert "cannot be opened" in source.health
    assert "s3cret" not in text and "operator" not in text


def test_a_real_address_that_refuses_prints_nothing(capfd):
    section = CameraSource(type="camera", url_env="CAM")
    url = "http://operator:s3cret@127.0.0.1:9/video"
    source = Camera("belt", section, NewestSlot(Tally()), environ={"CAM": url})
    with pytest.raises(SourceError, match=r"^line belt: address in CAM: cannot be opened$"):
        source.check()
    assert capfd.readouterr() == ("", "")
    assert capture_processes() == set()


def test_a_missing_variable_is_named():
    source = Camera("belt", CameraSource(type="camera", url_env="NOT_SET"), KeepingSink(), environ={})
    with pytest.raises(SourceError, match="NOT_SET"):
        source.run(threading.Event())


def test_silence_is_a_problem_from_stall_s_on_and_over_when_an_image_comes():
    stop, clock, sink = threading.Event(), FakeClock(), KeepingSink()
    source = camera(clock, [FakeCapturing(images(1, clock), clock, step=0)], sink, stall_s=4)
    clock.time += 4
    assert source.problem is None
    clock.time += 1
    assert source.problem == "no image for 5 s"
    clock._stop, clock._end = stop, clock.time
    source.run(stop)
    assert source.problem is None


@pytest.mark.parametrize(
    ("turn", "says"),
    [(Taken(100, SAME), "no new image"), (Taken(100, reason="corrupt"), "no whole image")],
)
def test_frames_that_bring_nothing_new_are_a_stall_and_opened_anew_and_still_a_stall(turn, says):
    stop = threading.Event()
    clock, sink = FakeClock(stop, end=30), KeepingSink()
    source = camera(clock, [FakeCapturing([turn] * 60, clock) for _ in range(20)], sink, stall_s=4)
    problems = []
    source.watch = lambda _: problems.append((clock.time - 100, source.problem))
    source.run(stop)
    assert all(problem is None for time, problem in problems if time <= 4)
    assert all(problem is not None and says in problem for time, problem in problems if time > 4.5)
    # Each was left after stall_s, and the frames it gave are judged, not replaced by a lost camera.
    assert len(sink.frames) > 100
    assert CAMERA_LOST not in {frame.reason for frame in sink.frames}


def test_frames_that_are_skipped_by_max_fps_are_signs_of_life():
    stop = threading.Event()
    clock, sink = FakeClock(stop, end=30), KeepingSink()
    turns = [*images(1, clock), *(Taken(100, skipped={"max_fps": 5}) for _ in range(299))]
    source = camera(clock, [FakeCapturing(turns, clock)] + [closed(clock)] * 9, sink, stall_s=4, max_fps=0.01)
    source.run(stop)
    assert source.problem is None
    assert len(sink.frames) == 1


def test_status_counts_reconnections_and_names_what_the_driver_did_not_take():
    stop = threading.Event()
    clock = FakeClock(stop, end=3.5)
    opened = Opened(refused=("width 1280 (it uses 640)",))
    captures = [
        FakeCapturing([*images(2, clock), CaptureFailed("no frame came for 5 s")], clock, opened=opened)
        for _ in range(9)
    ]
    source = camera(clock, captures, KeepingSink())
    source.run(stop)
    state, reconnected, refused = source.health.split("; ")
    assert state in {"connected", "no frame came for 5 s"}
    assert reconnected == "reconnected 4 times"
    assert refused == "not taken by the driver: width 1280 (it uses 640)"
    with pytest.raises(SourceError, match=r"device 0: the driver does not take width 1280 \(it uses 640\)$"):
        camera(clock, captures[-1:], KeepingSink()).check()


def test_processes_that_a_driver_holds_are_not_piled_up_and_it_goes_on_when_one_ends():
    stop, clock, sink = threading.Event(), FakeClock(), KeepingSink()
    hung = [FakeCapturing([CaptureFailed("no frame came for 5 s")], clock, ends=False) for _ in range(MOST_HELD)]
    after = FakeCapturing(images(1, clock), clock)
    source = camera(clock, [*hung, after], sink, stall_s=1000)
    with pytest.raises(SourceError, match=f"holds {MOST_HELD} ended processes"):
        source.run(stop)
    assert all(capture.closed for capture in hung) and not after.closed
    hung[0].release()
    clock._stop, clock._end = stop, clock.time + 0.05
    source.run(stop)
    assert len(sink.frames) == 1


def test_a_stream_of_which_no_frame_is_whole_is_named_as_that():
    stop = threading.Event()
    clock, sink = FakeClock(stop, end=9), KeepingSink()
    turns = [Taken(100, skipped={"joining": 5}) for _ in range(99)]
    source = camera(clock, [FakeCapturing(turns, clock)] * 9, sink, stall_s=4)
    source.run(stop)
    assert "no whole image" in source.problem
    assert {frame.reason for frame in sink.frames} == {CAMERA_LOST}
    assert sink.tally.snapshot().dropped["joining"] >= 200
