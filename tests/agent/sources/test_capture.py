"""What a device is asked for, what it did not take, and what FFmpeg is told."""

import cv2
import numpy as np
import pytest

from agent.sources.capture import (
    OpenCapture,
    apply_settings,
    device_gives_jpeg,
    ffmpeg_options,
    ffmpeg_version,
    open_capture,
    retrieve_rgb,
)
from agent.sources.capture_request import CaptureRequest, DeviceSettings
from fbclip.errors import ImageError
from tests.factories.streams import jpeg

YUYV, MJPG = (cv2.VideoWriter.fourcc(*name) for name in ("YUYV", "MJPG"))


class Device:
    """A driver with a list of what it can; anything else leaves it as it is."""

    def __init__(self, frame=None) -> None:
        self.can = {
            cv2.CAP_PROP_FOURCC: {YUYV, MJPG},
            cv2.CAP_PROP_FRAME_WIDTH: {640, 1920},
            cv2.CAP_PROP_FRAME_HEIGHT: {480, 1080},
            cv2.CAP_PROP_FPS: {30},
            cv2.CAP_PROP_AUTO_EXPOSURE: {1, 3},
            cv2.CAP_PROP_EXPOSURE: set(range(3, 2048)),
            cv2.CAP_PROP_CONVERT_RGB: {0, 1},
        }
        self.now = {cv2.CAP_PROP_FOURCC: YUYV, cv2.CAP_PROP_FRAME_WIDTH: 640, cv2.CAP_PROP_FRAME_HEIGHT: 480}
        self.now |= {cv2.CAP_PROP_FPS: 30, cv2.CAP_PROP_AUTO_EXPOSURE: 3, cv2.CAP_PROP_EXPOSURE: 157}
        self.asked = []
        self.frame = frame

    def isOpened(self) -> bool:
        return True

    def grab(self) -> bool:
        return True

    def retrieve(self):
        return self.frame is not None, self.frame

    def get(self, propId: int) -> float:
        return float(self.now.get(propId, 0))

    def set(self, propId: int, value: float) -> bool:
        self.asked.append(propId)
        if value not in self.can.get(propId, ()):
            return False
        self.now[propId] = value
        return True

    def release(self) -> None: ...


def test_what_is_asked_for_is_set_in_the_order_drivers_need():
    device = Device()
    wanted = DeviceSettings(width=1920, height=1080, fps=30, pixel_format="MJPG", exposure=200)
    assert apply_settings(device, wanted) == ()
    assert device.asked[0] == cv2.CAP_PROP_FOURCC
    # An exposure has no effect while it is automatic, so the automatic is switched off first.
    assert device.asked.index(cv2.CAP_PROP_AUTO_EXPOSURE) < device.asked.index(cv2.CAP_PROP_EXPOSURE)
    assert (device.now[cv2.CAP_PROP_AUTO_EXPOSURE], device.now[cv2.CAP_PROP_EXPOSURE]) == (1, 200)


def test_what_is_not_asked_for_is_left_alone():
    device = Device()
    assert apply_settings(device, DeviceSettings()) == ()
    assert device.asked == []


def test_what_the_driver_does_not_take_is_said():
    wanted = DeviceSettings(width=1280, height=480, fps=60, pixel_format="GREY", gain=5, auto_exposure=True)
    assert apply_settings(Device(), wanted) == (
        "pixel_format GREY (it uses YUYV)",
        "width 1280 (it uses 640)",
        "fps 60 (it uses 30)",
        "gain 5 (it uses 0)",
    )


def test_a_format_that_the_driver_leaves_over_another_setting_is_said():
    class Fickle(Device):
        def set(self, propId: int, value: float) -> bool:
            done = super().set(propId, value)
            if propId == cv2.CAP_PROP_FRAME_HEIGHT and value == 1080:
                self.now[cv2.CAP_PROP_FOURCC] = MJPG
            return done

    wanted = DeviceSettings(width=1920, height=1080, pixel_format="YUYV")
    assert apply_settings(Fickle(), wanted) == ("pixel_format YUYV (it uses MJPG)",)
    assert apply_settings(Device(), wanted) == ()


def test_what_the_driver_says_may_be_no_number():
    class Silent(Device):
        def get(self, propId: int) -> float:
            return float("nan")

    wanted = DeviceSettings(pixel_format="MJPG", exposure=200, gain=4)
    assert apply_settings(Silent(), wanted) == (
        "pixel_format MJPG (it uses ????)",
        "auto_exposure off",
        "exposure 200 (it uses nan)",
        "gain 4 (it uses nan)",
    )


def test_jpegs_of_a_device_are_read_by_a_reader_that_sees_damage():
    whole = jpeg(1)
    device = Device(np.frombuffer(whole, np.uint8).reshape(1, -1))
    apply_settings(device, DeviceSettings(pixel_format="MJPG"))
    assert device_gives_jpeg(device)
    opened = OpenCapture(device, True, ())
    assert retrieve_rgb(opened).shape == (120, 160, 3)
    device.frame = device.frame[:, : len(whole) // 2]
    with pytest.raises(ImageError):
        retrieve_rgb(opened)


def test_a_device_that_sends_no_jpegs_is_left_to_opencv():
    device = Device(np.full((4, 4, 3), (1, 2, 3), np.uint8))
    assert not device_gives_jpeg(device)
    assert retrieve_rgb(OpenCapture(device, False, ()))[0, 0].tolist() == [3, 2, 1]
    device.frame = np.full((4, 4), 7, np.uint8)
    assert retrieve_rgb(OpenCapture(device, False, ()))[0, 0].tolist() == [7, 7, 7]
    device.frame = np.full((4, 4), 700, np.uint16)
    with pytest.raises(ImageError):
        retrieve_rgb(OpenCapture(device, False, ()))


@pytest.mark.parametrize(("version", "name"), [(4, "stimeout"), (5, "timeout"), (8, "timeout")])
def test_the_time_out_has_the_name_that_this_ffmpeg_knows(version, name):
    assert ffmpeg_options(version, 2.5) == f"rtsp_transport;tcp|{name};2500000"


def test_the_ffmpeg_inside_opencv_is_known():
    assert 4 <= ffmpeg_version() <= 20


def test_a_request_comes_through_its_pipe_and_shows_no_address():
    request = CaptureRequest("rtsp://a:s3cret@h/x", 10, 5, max_fps=2, settings=DeviceSettings(width=640))
    assert CaptureRequest.from_line(request.to_line()) == request
    assert "s3cret" not in repr(request)


@pytest.mark.parametrize("target", [3, "/dev/fbclip/belt"])
def test_a_device_is_opened_as_one_by_its_number_or_name(target, monkeypatch):
    """A name is looked up by each opening, so a camera in another socket is found again."""
    asked = []
    monkeypatch.setattr(cv2, "VideoCapture", lambda *arguments: asked.append(arguments) or Device())
    opened = open_capture(CaptureRequest(target, 10, 5, settings=DeviceSettings(width=1280)))
    assert opened is not None
    assert opened.refused != ()
    assert asked == [(target, cv2.CAP_V4L2)]
