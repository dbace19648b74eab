"""The decoder's process answers as the decoder does, may be killed at any moment, and knows no secret."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from fbclip.errors import ImageError, SkippedScan
from fbclip.images.decode import decode, decode_picture
from fbclip.images.decode_process import DecodeProcess, DecodingCancelled
from tests.factories.scans import a_dicom, a_nifti, blob

IMAGE = np.random.default_rng(2).integers(0, 256, (50, 70, 3), dtype=np.uint8)
PNG = cv2.imencode(".png", IMAGE)[1].tobytes()
JPEG = cv2.imencode(".jpg", IMAGE)[1].tobytes()


def large(side: int) -> bytes:
    """Takes a while, and memory."""
    return cv2.imencode(".png", np.zeros((side, side, 3), np.uint8) + 9)[1].tobytes()


def child() -> int:
    """The decoder's process; others of this one are of other tests."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    (number,) = (one for one in children if b"decode_worker" in Path(f"/proc/{one}/cmdline").read_bytes())
    return int(number)


@pytest.fixture
def process():
    with DecodeProcess() as made:
        yield made


def test_it_answers_as_the_decoder_does_in_one_process(process):
    for data in (PNG, JPEG, large(600), PNG):
        assert np.array_equal(process.decode(data).image(0), decode(data))
    first = child()
    for data, reason in ((b"", "empty"), (PNG[:300], "truncated"), (b"text", "not_an_image")):
        with pytest.raises(ImageError) as caught:
            process.decode(data)
        with pytest.raises(ImageError) as expected:
            decode(data)
        assert caught.value.reason == expected.value.reason == reason and str(caught.value) == str(expected.value)
    assert child() == first
    process.close()
    with pytest.raises(ValueError):
        child()


def test_scans_windows_and_skips_come_through(process):
    film, volume = a_dicom(blob(9)), a_nifti(blob(20, 24, 9), packed=True)
    for data, window in ((film, "dicom"), (film, (-100.0, 900.0)), (volume, "percentile"), (PNG, (5.0, 200.0))):
        got, expected = process.decode(data, window=window), decode_picture(data, window)
        assert np.array_equal(got.pixels, expected.pixels)
        assert (got.scan, got.unused_bits) == (expected.scan, expected.unused_bits)
    with pytest.raises(SkippedScan, match="own_output"):
        process.decode(a_dicom(blob(1)[0], Manufacturer="fbclip-inspect"))


def test_pixels_are_the_callers_own(process):
    first = process.decode(PNG).image(0)
    process.decode(large(600))
    assert np.array_equal(first, decode(PNG)) and first.flags.writeable


def test_killed_between_two_images_it_is_started_again(process):
    process.decode(PNG)
    first = child()
    os.kill(first, signal.SIGKILL)
    assert np.array_equal(process.decode(PNG).image(0), decode(PNG))
    assert child() != first


def test_it_can_be_made_ready_before_there_is_an_image(process):
    process.make_ready()
    first = child()
    process.make_ready()
    assert np.array_equal(process.decode(PNG).image(0), decode(PNG)) and child() == first
    process.close()
    with pytest.raises(DecodingCancelled):
        process.make_ready(lambda: True)


def test_a_file_that_ends_the_process_twice_is_refused_and_the_next_is_decoded(process, monkeypatch):
    start = process._running
    monkeypatch.setattr(process, "_running", lambda cancelled: start(lambda: False))

    def kill() -> bool:
        os.kill(child(), signal.SIGKILL)
        return False

    slow = large(6000)
    with pytest.raises(ImageError) as caught:
        process.decode(slow, kill)
    assert caught.value.reason == "decoder_died"
    assert np.array_equal(process.decode(PNG).image(0), decode(PNG))


def test_a_file_that_takes_too_long_is_refused_and_the_next_is_decoded():
    with DecodeProcess(seconds=0) as hasty:
        with pytest.raises(ImageError) as caught:
            hasty.decode(large(2000))
        assert caught.value.reason == "decode_timeout"
    with DecodeProcess() as patient:
        assert patient.decode(PNG).image(0).shape == IMAGE.shape


def test_a_stopped_process_is_noticed():
    with DecodeProcess(seconds=1) as process:
        process.decode(PNG)
        os.kill(child(), signal.SIGSTOP)
        with pytest.raises(ImageError) as caught:
            process.decode(PNG)
        assert caught.value.reason == "decode_timeout"
        assert np.array_equal(process.decode(PNG).image(0), decode(PNG))


def test_memory_is_limited():
    with DecodeProcess(memory=64 << 20) as small:
        with pytest.raises(ImageError) as caught:
            small.decode(large(6000))
        assert caught.value.reason in {"too_large", "decoder_died"}
        assert np.array_equal(small.decode(PNG).image(0), decode(PNG))


def test_who_waits_may_give_up(process):
    process.decode(PNG)
    with pytest.raises(DecodingCancelled):
        process.decode(large(6000), lambda: True)
    assert np.array_equal(process.decode(PNG).image(0), decode(PNG))


def test_it_inherits_no_secret_and_survives_a_supervisors_signals(process, monkeypatch):
    monkeypatch.setenv("FBCLIP_PASSWORD", "hunter2")
    process.decode(PNG)
    first = child()
    assert b"hunter2" not in Path(f"/proc/{first}/environ").read_bytes()
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(first, number)
    assert np.array_equal(process.decode(PNG).image(0), decode(PNG)) and child() == first


def test_nonsense_from_the_process_is_not_believed(process, monkeypatch):
    process.decode(PNG)
    sizes = ([1, 10**6, 10**6], [1, 50, 70, 4], [1, 9999, 9, 3], ["a", 9, 9])
    answers = [{"shape": size, "about": 0, "unused_bits": 0} for size in sizes]
    # A name where only numbers and fixed words may stand.
    answers.append({"shape": [1, 50, 70, 3], "about": 9, "unused_bits": 0})
    for answer in (*answers, {"reason": "a\nb", "detail": "", "skipped": False}):
        monkeypatch.setattr(process, "_ask", lambda request, cancelled, answer=answer: answer)
        with pytest.raises(ImageError) as caught:
            process.decode(PNG)
        assert caught.value.reason == "decoder_died"
        monkeypatch.undo()
        assert np.array_equal(process.decode(PNG).image(0), decode(PNG))


def test_a_process_that_died_before_it_heard_of_the_file_is_guilty_of_nothing_but_that(process, monkeypatch):
    start = process._running

    def dead(cancelled):
        started = start(cancelled)
        started.kill()
        started.wait()
        return started

    monkeypatch.setattr(process, "_running", dead)
    with pytest.raises(ImageError) as caught:
        process.decode(PNG)
    assert caught.value.reason == "decoder_died"
