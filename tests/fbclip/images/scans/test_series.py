"""Files of one series as one volume: as one file of several frames, whatever their numbers and names say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from fbclip.errors import ImageError, SkippedScan
from fbclip.images.decode import decode_picture
from fbclip.images.scans import series_order
from fbclip.images.scans.series import read_series
from fbclip.images.scans.series_header import slice_header
from tests.factories.scans import NAME, a_dicom, a_series, blob, dicom_bytes


def files_of(datasets):
    return [dicom_bytes(one) for one in datasets]


def read(files, window="percentile", ranks=None):
    return read_series([lambda data=data: data for data in files], window, ranks)


def shuffled(files, seed=4):
    order = np.random.default_rng(seed).permutation(len(files))
    return [files[i] for i in order], [int(i) for i in order]


@pytest.mark.parametrize("window", ["percentile", "full", (-100.0, 900.0), "dicom"])
def test_a_series_is_seen_as_one_file_of_its_frames_is(window):
    volume = blob(9)
    files, order = shuffled(files_of(a_series(volume)))
    got, expected = read(files, window), decode_picture(a_dicom(volume), window)
    assert np.array_equal(got.pixels, expected.pixels)
    assert [s.window for s in got.scan.slices] == [s.window for s in expected.scan.slices]
    # By position, though the instance numbers run the other way; each slice names its file.
    assert [order[s.file] for s in got.scan.slices] == list(range(9))
    assert [s.position for s in got.scan.slices] == [2.5 * i - 40 for i in range(9)]
    assert [s.instance_number for s in got.scan.slices] == list(range(9, 0, -1))
    assert (got.scan.files.ordered_by, got.scan.plane, got.scan.total) == ("position", "axial", 9)
    assert NAME.split("^")[0] not in got.scan.model_dump_json()


def test_each_slice_has_its_own_rescaling_and_window_and_its_own_black():
    volume = blob(3)
    one, two, three = a_series(volume)
    one.RescaleSlope, one.RescaleIntercept, one.WindowCenter, one.WindowWidth = 2, 10, 400, 800
    two.PhotometricInterpretation, two.WindowCenter, two.WindowWidth = "MONOCHROME1", 300, 700
    three.WindowCenter, three.WindowWidth = 300, 700
    files = files_of([one, two, three])
    got = read(files, "dicom")
    assert np.array_equal(got.pixels, np.concatenate([decode_picture(data).pixels for data in files]))


def test_oblique_slices_are_ordered_along_their_own_normal():
    """All of x, y and z run both ways over such a stack; only the normal tells."""
    turn = [0.8, 0.6, 0.0, 0.0, 0.0, -1.0]
    normal = np.cross(turn[:3], turn[3:])
    datasets = a_series(blob(5), ImageOrientationPatient=turn)
    for index, one in enumerate(datasets):
        one.ImagePositionPatient = [float(x) for x in normal * 3 * index + np.array(turn[:3]) * (7 - 5 * index)]
    files, order = shuffled(files_of(datasets))
    assert [order[s.file] for s in read(files).scan.slices] == list(range(5))
    # Directions are rounded, to every slice in another way.
    for index, one in enumerate(datasets):
        one.ImageOrientationPatient = [value + 1e-3 * (index % 2) for value in turn]
    files, order = shuffled(files_of(datasets))
    assert [order[s.file] for s in read(files).scan.slices] == list(range(5))


def test_without_positions_the_numbers_count_and_without_those_the_names():
    files, order = shuffled(files_of(a_series(blob(5), ImagePositionPatient=None)))
    got = read(files)
    assert [order[s.file] for s in got.scan.slices] == [4, 3, 2, 1, 0] and got.scan.files.ordered_by == "number"
    assert {s.position for s in got.scan.slices} == {None} and got.about(0)["ordered_by"] == "number"
    files = files_of(a_series(blob(3), ImagePositionPatient=None, InstanceNumber=None))
    got = read(files, ranks=[1, 2, 0])
    assert [s.file for s in got.scan.slices] == [2, 0, 1] and got.scan.files.ordered_by == "name"


def test_slices_at_one_place_are_all_judged_and_counted():
    datasets = a_series(blob(4))
    datasets[2].ImagePositionPatient = datasets[1].ImagePositionPatient
    got = read(files_of(datasets))
    assert (len(got), got.scan.files.same_position, got.about(0)["same_position"]) == (4, 1, 1)


def test_a_place_where_a_slice_is_missing_is_counted():
    series = [dicom_bytes(one) for one in a_series(blob(8))]
    readers = [lambda data=data: data for data in series]
    for missing, gaps in (((), 0), ((0,), 0), ((3,), 1), ((2, 3), 1), ((2, 5), 2)):
        found = read_series([read for index, read in enumerate(readers) if index not in missing], "percentile")
        assert (found.scan.files.gaps, found.about(0)["gaps"]) == (gaps, gaps), missing
    # Of two steps nobody knows which is the usual one.
    assert read_series([readers[0], readers[1], readers[5]], "percentile").scan.files.gaps == 0


def test_the_same_bytes_again_are_a_duplicate_and_others_under_the_same_identifier_a_conflict():
    datasets = a_series(blob(4))
    files = files_of(datasets)
    changed = datasets[1]
    changed.PixelData = bytes(len(changed.PixelData))
    got = read([*files, files[0], dicom_bytes(changed)])
    assert [(f.file, f.reason) for f in got.scan.files.faults] == [(4, "duplicate"), (5, "uid_conflict")]
    assert np.array_equal(got.pixels, read(files).pixels)


def test_a_slice_that_cannot_be_read_is_named_and_costs_no_other_its_place():
    files = files_of(a_series(blob(5)))
    files[1] = files[1][:-200]
    files[3] = b"text"
    got = read(files)
    assert [s.file for s in got.scan.slices] == [0, 2, 4]
    assert [(f.file, f.reason) for f in got.scan.files.faults] == [(1, "truncated"), (3, "corrupt")]
    assert read([files[0], files[1]]).pixels.shape[0] == 1
    with pytest.raises(ImageError) as caught:
        read([files[1]])
    assert caught.value.reason == "truncated"


def mixed_size(datasets):
    datasets[1:] = [*datasets[1:2], *a_series(blob(1, height=20))]


def mixed_orientation(datasets):
    datasets[1].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


def mixed_colour(datasets):
    datasets[1:] = a_series(np.zeros((1, 24, 32, 3), np.uint8))


@pytest.mark.parametrize("mix", [mixed_size, mixed_orientation, mixed_colour])
def test_what_is_no_one_volume_is_refused_by_name(mix):
    datasets = a_series(blob(3))
    mix(datasets)
    with pytest.raises(ImageError) as caught:
        read(files_of(datasets))
    assert caught.value.reason == mix.__name__


def test_a_series_may_be_no_larger_than_one_file(monkeypatch):
    files = files_of(a_series(blob(5)))
    monkeypatch.setattr("fbclip.images.header.MAX_VOXELS", 4 * 24 * 32)
    with pytest.raises(ImageError, match="5 slices of 32x24") as caught:
        read(files)
    assert caught.value.reason == "too_large"
    monkeypatch.undo()
    monkeypatch.setattr(series_order, "MOST_SLICES", 4)
    with pytest.raises(ImageError) as caught:
        read(files)
    assert caught.value.reason == "too_many_slices"


def test_empty_ends_are_not_judged_and_keep_their_numbers():
    volume = blob(5)
    volume[[0, 4]] = -200
    picture = read(files_of(a_series(volume)))
    assert [(s.number, s.order, s.file) for s in picture.scan.slices] == [(2, 1, 1), (3, 2, 2), (4, 3, 3)]
    assert picture.scan.total == 5


def test_a_header_tells_the_series_and_whether_a_file_is_a_slice_of_one():
    one, two = a_series(blob(2))
    first, second = slice_header(dicom_bytes(one)), slice_header(dicom_bytes(two))
    assert first.series == second.series and first.instance != second.instance
    assert (first.width, first.height, first.voxel_bytes, first.number) == (32, 24, 2, 2)
    other = slice_header(dicom_bytes(a_series(blob(1), SeriesInstanceUID=one.SeriesInstanceUID)[0]))
    assert other.series != first.series, "the same series in another study is another one"
    assert slice_header(dicom_bytes(one)[:-9]).fault == "truncated"
    assert slice_header(a_dicom(blob(3))) is None
    assert slice_header(a_dicom(blob(1)[0], SeriesInstanceUID=None)) is None
    with pytest.raises(SkippedScan):
        slice_header(Path(get_testdata_file("test-SR.dcm")).read_bytes())
    for uid in (one.SeriesInstanceUID, one.StudyInstanceUID, one.SOPInstanceUID, "Miller", "4711"):
        assert uid not in first.model_dump_json()
