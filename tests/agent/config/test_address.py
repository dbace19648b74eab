"""A password is found in an address however it is written, and never shown."""

import pytest
from pydantic import ValidationError

from agent.config.address import holds_password, redact
from agent.config.loader import load_config
from agent.config.source import CameraSource
from fbclip.errors import ConfigError

WITH_PASSWORD = [
    "rtsp://admin:S3cret@10.0.0.5:554/ch1",
    "RTSP://admin:S3cret@10.0.0.5/x",
    "rtsp://admin1:S3cret/123@10.0.0.5:554/ch1",
    "rtsp://admin:S3cret?x#@10.0.0.5/x",
    "rtsp://admin:S3@cret@10.0.0.5/x",
    "rtsp://admin%3AS3cret@10.0.0.5/x",
    "rtsp:/admin:S3cret@10.0.0.5/x",
    "admin:S3cret@10.0.0.5",
    "admin:/S3cret@10.0.0.5",
    "rtsp://10.0.0.5:554/user=admin&password=S3cret&channel=1&stream=0.sdp",
    "rtsp://10.0.0.5:554/user=admin_password=S3cret_channel=1_stream=0.sdp?real_stream",
    "10.0.0.5/user=admin&password=S3cret",
    "http://10.0.0.5/video?user=admin&pwd=S3cret",
    "http://10.0.0.5/video?usr=a@b&pass=S3cret",
    "http://10.0.0.5/video?access_token=S3cret",
    "http://10.0.0.5/video#api-key=S3cret",
    "http://10.0.0.5/video;auth=S3cret",
    "http://10.0.0.5/video?PASSWORD%3DS3cret",
]
WITHOUT = [
    "rtsp://10.0.0.5:554/ch1",
    "rtsp://viewer@10.0.0.5/ch1",
    "http://[fe80::1]:8080/video?channel=1&keyframe=2",
    "tcp://127.0.0.1:4000",
    "udp://239.0.0.1:5004",
    "http://10.0.0.5/compass=north",
]


@pytest.mark.parametrize("address", WITH_PASSWORD)
def test_a_password_is_refused_and_not_shown(address, tmp_path):
    assert holds_password(address)
    assert "S3" not in redact(address) and "cret" not in redact(address)
    with pytest.raises(ValidationError, match="url_env"):
        CameraSource(type="camera", url=address)
    config = tmp_path / "agent.yaml"
    config.write_text(f"lines: [{{name: belt, source: {{type: camera, url: '{address}'}}, mode: learning}}]")
    with pytest.raises(ConfigError, match=r"agent\.yaml:1: .*url_env") as caught:
        load_config(config)
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize("address", WITHOUT)
def test_an_address_without_one_is_accepted(address):
    assert not holds_password(address)
    assert CameraSource(type="camera", url=address).url == address


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://10.0.0.5:554/ch1", "rtsp://10.0.0.5:554/ch1"),
        ("rtsp://operator:s3cret@10.0.0.5:554/stream?token=s3cret", "rtsp://***@10.0.0.5:554/stream"),
        ("rtsp://10.0.0.5:554/user=admin&password=x&channel=1", "rtsp://10.0.0.5:554/***"),
    ],
)
def test_what_is_no_secret_is_still_shown(address, shown):
    assert redact(address) == shown


def test_an_address_in_place_of_a_variables_name_is_refused():
    with pytest.raises(ValidationError, match="url_env"):
        CameraSource(type="camera", url_env="rtsp://10.0.0.5/ch1")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"url": "rtsp://10.0.0.5/ch1", "width": 640}, "on a device only"),
        ({"device": 0, "auto_exposure": True, "exposure": 100}, "no effect"),
        ({"device": 0, "pixel_format": "mjpeg"}, "pattern"),
        ({"device": 0, "width": 10**9}, "32768"),
        ({"device": 0, "exposure": float("nan")}, "finite"),
        ({"device": 0, "max_age_s": 0}, "greater than 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, says):
    with pytest.raises(ValidationError, match=says):
        CameraSource(type="camera", **settings)
