"""Overlays and regions as DICOM, read back with pydicom and highdicom: what they refer to and say of themselves."""

from io import BytesIO

import highdicom
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from agent.pipeline.dicom_outputs import DISCLAIMER, secondary_capture, segmentation
from fbclip.errors import SkippedScan
from fbclip.images.decode import decode_picture
from tests.factories.scans import a_series, blob


def reread(made):
    out = BytesIO()
    made.save_as(out, enforce_file_format=True)
    return out.getvalue()


def a_source(name):
    return dcmread(get_testdata_file(name), stop_before_pixels=True)


def a_mask(source):
    mask = np.zeros((source.Rows, source.Columns), np.bool_)
    mask[5:9, 7:19] = True
    return mask


def is_own(data):
    with pytest.raises(SkippedScan) as caught:
        decode_picture(data)
    return caught.value.reason in {"own_output", "derived_object"}


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "examples_palette.dcm", "693_J2KI.dcm"])
def test_an_overlay_refers_to_its_source_and_says_what_it_is_not(name):
    source = a_source(name)
    image = np.random.default_rng(1).integers(0, 256, (source.Rows, source.Columns, 3)).astype(np.uint8)
    data = reread(secondary_capture(source, 1, image))
    made = dcmread(BytesIO(data))
    (reference,) = made.SourceImageSequence
    assert (reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID) == (
        source.SOPClassUID,
        source.SOPInstanceUID,
    )
    assert (made.StudyInstanceUID, made.PatientID) == (source.StudyInstanceUID, source.PatientID)
    assert made.SOPInstanceUID != source.SOPInstanceUID and made.SeriesInstanceUID != source.SeriesInstanceUID
    assert (made.SeriesDescription, made.BurnedInAnnotation) == (DISCLAIMER, "YES")
    # The picture is whole, and the text stands in a bar of its own below it.
    assert np.array_equal(made.pixel_array[: source.Rows], image)
    bar = made.pixel_array[source.Rows :]
    assert len(bar) >= 12 and bar.max() > 100
    assert is_own(data)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "examples_palette.dcm"])
def test_a_segmentation_holds_the_very_pixels_and_refers_to_its_source(name):
    source = a_source(name)
    mask = a_mask(source)
    data = reread(segmentation([source], 1, mask))
    made = highdicom.seg.segread(BytesIO(data))
    assert np.array_equal(made.pixel_array.astype(bool).reshape(mask.shape), mask)
    assert (made.SeriesDescription, made.ContentDescription, made.ContentLabel) == (
        DISCLAIMER,
        DISCLAIMER,
        "RESEARCH_USE",
    )
    assert DISCLAIMER in made.get_segment_description(1).segment_label
    assert [ids[2] for ids in made.get_source_image_uids()] == [source.SOPInstanceUID]
    assert is_own(data)


def test_of_several_frames_the_one_is_named():
    source = a_source("examples_ybr_color.dcm")
    image = np.zeros((source.Rows, source.Columns, 3), np.uint8)
    made = dcmread(BytesIO(reread(secondary_capture(source, 17, image))))
    assert made.SourceImageSequence[0].ReferencedFrameNumber == 17


def test_a_source_without_a_frame_of_reference_has_no_segmentation():
    source = a_source("693_J2KI.dcm")
    with pytest.raises(ValueError, match="Frame"):
        segmentation([source], 1, a_mask(source))


def test_outputs_of_a_series_refer_to_every_instance_of_it_and_the_mask_lies_on_its_own_slice():
    sources = a_series(blob(5))
    names = [one.SOPInstanceUID for one in sources]
    image = np.zeros((24, 32, 3), np.uint8)
    made = dcmread(BytesIO(reread(secondary_capture(sources[3], 1, image, [*sources[:3], sources[4]]))))
    assert [one.ReferencedSOPInstanceUID for one in made.SourceImageSequence] == [names[3]]
    assert [one.ReferencedSOPInstanceUID for one in made.ReferencedImageSequence] == [*names[:3], names[4]]
    mask = a_mask(sources[0])
    found = highdicom.seg.segread(BytesIO(reread(segmentation(sources, 4, mask))))
    assert sorted(ids[2] for ids in found.get_source_image_uids()) == sorted(names)
    (plane,) = found.get_pixels_by_source_instance([names[3]], segment_numbers=[1])
    assert np.array_equal(plane[..., 0].astype(bool), mask)
    (empty,) = found.get_pixels_by_source_instance(
        [names[1]], segment_numbers=[1], assert_missing_frames_are_empty=True
    )
    assert not empty.any()
    assert {str(one.SOPClassUID) for one in sources} == {str(made.SourceImageSequence[0].ReferencedSOPClassUID)}
