"""A series through the decoder's process: as in this one, and a file that kills or hangs it costs its own slice."""

from __future__ import annotations

import numpy as np
import pytest

from fbclip.errors import ImageError
from fbclip.images.decode_process import DecodeProcess
from fbclip.images.decode_series import decode_series
from fbclip.images.scans.series import read_series
from fbclip.images.scans.series_header import slice_header
from tests.factories.scans import a_dicom, a_series, blob, dicom_bytes

FILES = [dicom_bytes(one) for one in a_series(blob(5))]


@pytest.fixture(scope="module")
def process():
    with DecodeProcess() as made:
        yield made


def reading(files):
    return [lambda data=data: data for data in files]


def through(process, files, **more):
    return decode_series(process, reading(files), range(len(files)), **more)


def test_it_is_the_readers_own_volume(process):
    for window in ("percentile", (-50.0, 800.0)):
        got, expected = through(process, FILES, window=window), read_series(reading(FILES), window)
        assert np.array_equal(got.pixels, expected.pixels) and got.scan == expected.scan
    cut = [*FILES[:4], FILES[4][:-100]]
    assert through(process, cut).scan == read_series(reading(cut), "dicom").scan
    with pytest.raises(ImageError) as caught:
        through(process, [FILES[0], dicom_bytes(a_series(blob(1, height=20))[0])])
    assert caught.value.reason == "mixed_size"


def test_headers_come_through_and_what_belongs_to_no_series_has_none(process):
    assert process.header(FILES[2]) == slice_header(FILES[2])
    assert process.header(b"text") is None and process.header(a_dicom(blob(3))) is None
    with pytest.raises(ImageError) as caught:
        process.header(FILES[0][:200])
    assert caught.value.reason in {"truncated", "corrupt", "no_uid"}


@pytest.mark.parametrize("reason", ["decoder_died", "decode_timeout"])
def test_a_file_that_ends_the_process_is_the_only_one_that_is_lost(process, monkeypatch, reason):
    """Which file it was is found out by looking at each alone."""
    series, single = process.series, process.decode

    def of_all(files, *arguments):
        if any(read() == FILES[1] for read in files):
            raise ImageError(reason)
        return series(files, *arguments)

    def of_one(data, *arguments):
        if data == FILES[1]:
            raise ImageError(reason)
        return single(data, *arguments)

    monkeypatch.setattr(process, "series", of_all)
    monkeypatch.setattr(process, "decode", of_one)
    got = through(process, FILES)
    assert [(f.file, f.reason) for f in got.scan.files.faults] == [(1, reason)]
    assert [s.file for s in got.scan.slices] == [0, 2, 3, 4]
    with pytest.raises(ImageError) as caught:
        through(process, [FILES[1]])
    assert caught.value.reason == reason


def test_a_process_that_is_killed_over_a_series_is_named(monkeypatch):
    with DecodeProcess() as process:
        put = process._put

        def killed(files, most):
            lengths = put(files, most)
            process._process.kill()
            process._process.wait()
            return lengths

        monkeypatch.setattr(process, "_put", killed)
        with pytest.raises(ImageError) as caught:
            through(process, FILES)
        assert caught.value.reason == "decoder_died"
        monkeypatch.undo()
        assert len(through(process, FILES)) == 5


def test_more_bytes_than_are_planned_for_are_not_even_handed_over(process, monkeypatch):
    monkeypatch.setattr("fbclip.images.decode_process.MAX_SERIES_BYTES", sum(map(len, FILES)) - 1)
    with pytest.raises(ImageError) as caught:
        through(process, FILES)
    assert caught.value.reason == "too_large"
