"""A camera that goes away is reported, comes back by itself, and never tells its password."""

import threading

import pytest

from agent.config.line import CameraSource
from agent.errors import SourceError
from agent.sources.camera import CAMERA_LOST, LONGEST_RETRY_S, MOST_HUNG, Camera
from agent.sources.capture import redact
from agent.sources.sinks import NewestSlot, Tally
from tests.factories.agent import FakeCapture, FakeClock, KeepingSink

URL = "rtsp://operator:s3cret@10.0.0.5:554/stream?token=s3cret"


def camera(clock, captures, sink, **settings):
    section = CameraSource(type="camera", **({"device": 0} | settings))
    queue = list(captures)
    return Camera("belt", section, sink, clock, lambda target: queue.pop(0), {"CAM": URL}, jitter=lambda: 1.0)


def test_it_reconnects_with_growing_pauses_and_starts_over_after_a_success():
    stop = threading.Event()
    clock = FakeClock(stop, end=80)
    captures = [FakeCapture(0, clock, opened=False) for _ in range(3)]
    captures += [FakeCapture(2, clock)] + [FakeCapture(0, clock, opened=False) for _ in range(20)]
    sink = KeepingSink()
    camera(clock, captures, sink).read(stop)
    assert clock.waits[:6] == [0.5, 1, 2, 0.5, 1, 2]
    assert max(clock.waits) <= LONGEST_RETRY_S
    assert [f.seq for f in sink.frames] == [1, 2]
    assert sink.frames[0].image[0, 0].tolist() == [3, 2, 1]
    assert all(c.released for c in captures[:5])


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
    assert {(f.image is None, f.reason) for f in sink.frames} == {(True, CAMERA_LOST)}
    assert "no image" in source.health


def test_max_fps_skips_and_counts():
    stop = threading.Event()
    clock = FakeClock(stop, end=3)
    sink = KeepingSink()
    camera(clock, [FakeCapture(20, clock, step=0.1), FakeCapture(0, clock, opened=False)] * 9, sink, max_fps=2).read(
        stop
    )
    counters = sink.tally.snapshot()
    assert counters.grabbed >= 20
    assert counters.dropped["max_fps"] == counters.grabbed - len(sink.frames)
    gaps = [b.monotonic - a.monotonic for a, b in zip(sink.frames, sink.frames[1:], strict=False)]
    assert min(gaps) >= 0.5


def test_no_secret_in_any_text(caplog, capfd):
    stop = threading.Event()
    clock = FakeClock(stop, end=2)
    source = camera(clock, [FakeCapture(0, clock, opened=False)] * 9, KeepingSink(), device=None, url_env="CAM")
    with pytest.raises(SourceError) as caught:
        source.check()
    source.read(stop)
    text = str(caught.value) + caplog.text + source.health + source.describe + repr(source) + redact(URL)
    assert "s3cret" not in text and "operator" not in text
    assert redact(URL) == "rtsp://***@10.0.0.5:554/stream"


def test_a_real_address_that_refuses_prints_nothing(capfd):
    section = CameraSource(type="camera", url_env="CAM")
    url = "http://operator:s3cret@127.0.0.1:9/video"
    source = Camera("belt", section, NewestSlot(Tally()), environ={"CAM": url})
    with pytest.raises(SourceError, match="cannot be opened"):
        source.check()
    assert capfd.readouterr() == ("", "")


def test_a_missing_variable_is_named():
    source = Camera("belt", CameraSource(type="camera", url_env="NOT_SET"), KeepingSink(), environ={})
    with pytest.raises(SourceError, match="NOT_SET"):
        source.run(threading.Event())


def test_run_reads_in_its_own_thread_and_stops():
    stop, clock = threading.Event(), FakeClock()

    class Endless(KeepingSink):
        def put(self, frame, end):
            if len(self.frames) > 4:
                stop.set()
            return super().put(frame, end)

    sink = Endless()
    section = CameraSource(type="camera", device=0)
    source = Camera("belt", section, sink, opener=lambda target: FakeCapture(10**6, clock))
    source.run(stop)
    assert len(sink.frames) > 4 and source.health == "connected"


def test_silence_is_a_problem_from_stall_s_on_and_over_when_an_image_comes():
    stop, clock, sink = threading.Event(), FakeClock(), KeepingSink()
    source = camera(clock, [FakeCapture(1, clock, step=0)], sink, stall_s=4)
    clock.time += 4
    assert source.problem is None
    clock.time += 1
    assert source.problem == "no image for 5 s"
    clock._stop, clock._end = stop, clock.time
    source.read(stop)
    assert source.problem is None


class Wedged(FakeCapture):
    """A driver that never comes back from a read, until the test lets it."""

    def __init__(self, clock, entered: threading.Event, release: threading.Event) -> None:
        super().__init__(10, clock)
        self.entered, self.release_it = entered, release

    def grab(self) -> bool:
        self.entered.set()
        self.release_it.wait(20)
        return False


def test_a_driver_that_hangs_is_opened_anew_a_few_times_and_what_wakes_late_gives_no_frame():
    stop, clock, release = threading.Event(), FakeClock(), threading.Event()
    entered = [threading.Event() for _ in range(MOST_HUNG)]
    sink = KeepingSink()
    source = camera(clock, [Wedged(clock, event, release) for event in entered], sink, stall_s=86_400)
    for event in entered:
        with pytest.raises(SourceError, match=r"line belt: device 0: the driver hangs$"):
            source.run(stop)
        assert event.is_set()
    with pytest.raises(SourceError, match="also when it is opened anew"):
        source.run(stop)
    release.set()
    for reader in source._readers:
        reader.join(10)
    assert not any(reader.is_alive() for reader in source._readers)
    assert sink.frames == []
