"""A folder of single slices is one unit, ordered and windowed as the agent's hot folder does it."""

from __future__ import annotations

import numpy as np
import pytest

from calibrate.datasets.reader import read_data
from calibrate.datasets.slices import with_slices
from calibrate.errors import DataError
from calibrate.inference import read_sample
from fbclip.errors import ImageError
from fbclip.images.scans.series import read_series
from tests.factories.images import write_image
from tests.factories.scans import a_dicom, a_series, blob, dicom_bytes


def write(folder, datas, name="IM{:04d}"):
    folder.mkdir(parents=True, exist_ok=True)
    for index, data in enumerate(datas):
        (folder / name.format(index)).write_bytes(data)


def test_the_files_of_a_series_are_slices_of_one_unit_in_the_order_of_their_positions(tmp_path):
    volume = blob(5)
    datasets = a_series(volume)
    files = [dicom_bytes(datasets[i]) for i in (3, 0, 4, 1, 2)]
    write(tmp_path / "good", [*files, files[1]])
    write(tmp_path / "good", [dicom_bytes(a_series(blob(1, seed=8))[0])], "alone{}.dcm")
    write(tmp_path / "good", [a_dicom(blob(3))], "several{}.dcm")
    write_image(tmp_path / "good" / "a.png")
    samples = with_slices(read_data(tmp_path)).samples
    mine = [s for s in samples if s.series]
    assert [s.path.name for s in mine] == ["IM0001", "IM0003", "IM0004", "IM0000", "IM0002"]
    assert [s.slice for s in mine] == [0, 1, 2, 3, 4] and len({s.unit for s in mine}) == 1
    assert len({s.unit for s in samples}) == 4 and len(samples) == 5 + 1 + 3 + 1
    # The very pixels of the agent's reader, through a window over the whole volume.
    whole = read_series([lambda d=d: dicom_bytes(d) for d in datasets], "percentile")
    for sample in mine:
        assert np.array_equal(read_sample(sample, "percentile"), whole.image(sample.slice))
    assert with_slices(read_data(tmp_path)) == with_slices(with_slices(read_data(tmp_path)))


def test_an_empty_end_is_named_empty_and_a_slice_that_does_not_decode_by_its_reason(tmp_path):
    volume = blob(4)
    volume[0] = -200
    files = [dicom_bytes(one) for one in a_series(volume)]
    write(tmp_path / "good", files)
    samples = with_slices(read_data(tmp_path)).samples
    with pytest.raises(ImageError) as caught:
        read_sample(samples[0])
    assert caught.value.reason == "empty_slice"
    # Damaged after its header was read.
    (tmp_path / "good" / "IM0002").write_bytes(files[2][:-100])
    with pytest.raises(ImageError) as caught:
        read_sample(samples[2], "percentile")
    assert caught.value.reason == "truncated"


def test_a_series_that_is_no_volume_or_has_two_labels_is_refused_by_name(tmp_path):
    datasets = a_series(blob(3))
    write(tmp_path / "a" / "good", [dicom_bytes(one) for one in datasets[:2]])
    write(tmp_path / "a" / "bad", [dicom_bytes(datasets[2])])
    with pytest.raises(DataError, match=r"the series of IM0000: its files have several labels"):
        with_slices(read_data(tmp_path / "a"))
    datasets[1].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    write(tmp_path / "b" / "good", [dicom_bytes(one) for one in datasets])
    with pytest.raises(DataError, match=r"the series of IM0000 is no volume: mixed_orientation"):
        with_slices(read_data(tmp_path / "b"))
