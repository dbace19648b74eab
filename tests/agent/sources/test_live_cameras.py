"""Real streams by HTTP, killed, hung, slowed and resumed: named in time, taken up again, every frame accounted for."""

import itertools
import threading

import pytest

from agent.config.source import CameraSource
from agent.sources.camera import CAMERA_LOST, Camera
from agent.sources.sinks import NewestSlot, Tally
from agent.sources.supervisor import SourceSupervisor
from fbclip.images.decode import decode
from tests.factories.brokers import wait_until
from tests.factories.rtsp import PASSWORD, RtspCamera
from tests.factories.streams import FFMPEG, FfmpegCamera, JpegCamera, capture_processes, jpeg

STALL_S = 1.5


class Line:
    """A line whose detector takes every frame that it can have, like the agent's."""

    def __init__(self, url: str | None, **settings) -> None:
        self.tally = Tally()
        self.sink = NewestSlot(self.tally)
        section = CameraSource(type="camera", url=url, **({"stall_s": STALL_S} | settings))
        self.supervisor = SourceSupervisor(
            "belt", lambda feed: Camera("belt", section, feed, jitter=lambda: 0.5), self.sink
        )
        self.frames = []
        self.unbalanced = []
        self._over = threading.Event()
        self._judge = threading.Thread(target=self._run)
        self.supervisor.start()
        self._judge.start()

    def _run(self) -> None:
        while not self._over.is_set():
            frame = self.sink.get(0.1)
            if frame is not None:
                self.tally.inspected() if frame.image is not None else self.tally.rejected()
                self.frames.append(frame)
            counters = self.tally.snapshot()
            if counters.in_flight not in (0, 1):
                self.unbalanced.append(counters)

    def images(self) -> int:
        return sum(frame.image is not None for frame in self.frames)

    def goes_on(self, count: int = 3) -> None:
        """So many more images come, and all is well again."""
        before = self.images()
        wait_until(lambda: self.images() >= before + count and self.supervisor.problem is None, 30)

    def close(self) -> None:
        self.supervisor.stop()
        self.supervisor.join(10)
        assert not self.supervisor.alive
        self._over.set()
        self._judge.join()
        self.sink.discard("shutdown")


@pytest.fixture
def lines():
    made = []

    def make(url, **settings):
        made.append(Line(url, **settings))
        return made[-1]

    yield make
    for line in made:
        line.close()
        counters = line.tally.snapshot()
        assert counters.in_flight == 0 and line.unbalanced == []
        assert counters.grabbed == counters.inspected + counters.rejected + sum(counters.dropped.values())
        numbers = [frame.seq for frame in line.frames]
        assert numbers == sorted(set(numbers))
    assert capture_processes() == set()


@pytest.mark.skipif(FFMPEG is None, reason="ffmpeg is not installed")
def test_a_stream_is_killed_hung_slowed_and_resumed(lines):
    camera = FfmpegCamera()
    try:
        camera.start()
        line = lines(camera.url)
        line.goes_on()
        # Hung: nothing comes, the connection stays.
        camera.freeze()
        wait_until(lambda: line.supervisor.problem == "line belt: no image for 2 s", 3 * STALL_S)
        wait_until(lambda: any(frame.reason == CAMERA_LOST for frame in line.frames))
        camera.thaw()
        camera.kill()
        camera.start()
        line.goes_on()
        assert "reconnected" in line.supervisor.health
        # Killed: the connection ends.
        camera.kill()
        wait_until(lambda: line.supervisor.problem is not None, 3 * STALL_S)
        # Slowed: half as many frames as it should give, but it gives them.
        camera.start(speed=0.5)
        line.goes_on()
        assert line.supervisor.failure is None
    finally:
        camera.kill()


@pytest.mark.skipif(FFMPEG is None, reason="ffmpeg is not installed")
def test_an_rtsp_camera_over_tcp_loses_packets_falls_silent_and_comes_back(lines, tmp_path, monkeypatch, caplog, capfd):
    camera = RtspCamera(tmp_path)
    try:
        monkeypatch.setenv("BELT", camera.url)
        line = lines(None, url_env="BELT", stall_s=3)
        line.goes_on()
        # What FFmpeg paints over a lost packet is no image, nor what is predicted from it.
        camera.lose = 1
        wait_until(lambda: any(frame.reason == "corrupt" for frame in line.frames), 60)
        line.goes_on()
        # Accepts and says nothing, as a camera does whose software hangs: also while it is opened.
        camera.mute.set()
        wait_until(lambda: line.supervisor.problem is not None, 10)
        opened = camera.asked.count("OPTIONS")
        wait_until(lambda: camera.asked.count("OPTIONS") > opened, 20)
        camera.mute.clear()
        line.goes_on()
        said = caplog.text + "".join(capfd.readouterr()) + line.supervisor.health
        assert PASSWORD not in said and "reconnected" in said
    finally:
        camera.close()


def test_half_a_jpeg_and_one_with_a_hole_are_never_images(lines):
    def picture(number: int) -> bytes:
        data = jpeg(number)
        match number % 4:
            case 1:
                return data[: len(data) // 2]
            case 2:
                return data[: len(data) // 2] + b"\xff\xd9"
            case 3:
                middle = len(data) // 2
                return data[:middle] + bytes(200) + data[middle + 200 :]
        return data

    camera = JpegCamera(picture)
    line = lines(camera.url, stall_s=60)
    wait_until(lambda: line.images() >= 5 and sum(f.reason == "corrupt" for f in line.frames) >= 15, 30)
    good = {decode(jpeg(number)).tobytes() for number in range(0, 400, 4)}
    assert all(frame.image.tobytes() in good for frame in line.frames if frame.image is not None)
    assert {frame.reason for frame in line.frames} == {None, "corrupt"}
    line.close()
    camera.close()


def test_a_camera_that_repeats_its_buffer_has_stalled(lines):
    stuck = threading.Event()
    fresh = itertools.count()
    camera = JpegCamera(lambda number: jpeg(7 if stuck.is_set() else next(fresh)))
    line = lines(camera.url)
    line.goes_on()
    before = len(line.frames)
    stuck.set()
    wait_until(lambda: line.supervisor.problem is not None, 3 * STALL_S)
    assert "no new image for" in line.supervisor.problem
    # It still is after it was opened anew, and its frames are left to the checks of images.
    processes = capture_processes()
    wait_until(lambda: capture_processes() - processes, 20)
    assert "no new image" in line.supervisor.problem
    given = [frame.reason for frame in line.frames[before:]]
    assert given.count(None) > 5
    stuck.clear()
    line.goes_on()
    line.close()
    camera.close()


def test_a_limit_of_frames_is_kept_and_what_is_over_it_counted(lines):
    camera = JpegCamera(jpeg)
    line = lines(camera.url, max_fps=4, stall_s=60)
    wait_until(lambda: line.images() >= 4, 20)
    gaps = [b.monotonic - a.monotonic for a, b in itertools.pairwise(line.frames)]
    assert min(gaps) >= 0.25
    wait_until(lambda: line.tally.snapshot().dropped.get("max_fps", 0) > 20)
    line.close()
    camera.close()


def test_stopping_ends_its_process_at_once_also_while_it_hangs(lines):
    camera = JpegCamera(jpeg, pause_s=30)
    line = lines(camera.url, stall_s=60)
    wait_until(capture_processes)
    line.close()
    assert capture_processes() == set()
    camera.close()
