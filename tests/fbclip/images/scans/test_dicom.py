"""DICOM files to 8-bit pixels: those of pydicom's own package, good and malformed, and files of each special kind."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

from fbclip.errors import ImageError, SkippedScan
from fbclip.images.decode import decode, decode_picture
from tests.factories.scans import NAME, a_dicom, blob, dicom_bytes, dicom_dataset

FOLDER = Path(get_testdata_file("CT_small.dcm")).parent
RAMP = np.arange(-600, 600, dtype=np.int16).reshape(30, 40)


def shipped(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


def reason_of(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode_picture(data)
    return caught.value.reason


def by_formula(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """DICOM PS3.3 C.11.2.1.2.1, as it is printed there."""
    x = values.astype(np.float64)
    out = ((x - (center - 0.5)) / (width - 1) + 0.5) * 255
    return np.where(x <= center - 0.5 - (width - 1) / 2, 0, np.where(x > center - 0.5 + (width - 1) / 2, 255, out))


def close(pixels: np.ndarray, expected: np.ndarray) -> bool:
    return pixels.shape == expected.shape and float(np.abs(pixels.astype(float) - expected).max()) <= 1


WINDOWED = ["693_J2KI.dcm", "MR_small_expb.dcm", "MR_small_implicit.dcm", "MR_small_padded.dcm", "examples_overlay.dcm"]
WINDOWED += ["MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_jp2klossless.dcm"]
WINDOWED += ["MR_small_jpeg_ls_lossless.dcm", "J2K_pixelrep_mismatch.dcm"]


@pytest.mark.parametrize("name", WINDOWED)
def test_grey_of_the_package_is_pydicoms_own_through_the_files_window(name):
    dataset = dcmread(FOLDER / name)
    center, width = (v[0] if hasattr(v, "__len__") and not isinstance(v, str) else v for v in
                     (dataset.WindowCenter, dataset.WindowWidth))  # fmt: skip
    values = apply_modality_lut(pixel_array(dataset), dataset)
    picture = decode_picture(shipped(name))
    assert close(picture.pixels[0], by_formula(values, float(center), float(width)))
    assert np.array_equal(picture.image(0)[..., 0], picture.image(0)[..., 2])
    assert picture.about(0)["window_from"] == "file"


@pytest.mark.parametrize("name", ["CT_small.dcm", "JPEG2000.dcm", "JPEGLSNearLossless_16.dcm", "image_dfl.dcm"])
def test_grey_without_a_window_is_seen_by_its_percentiles(name):
    dataset = dcmread(FOLDER / name)
    values = apply_modality_lut(pixel_array(dataset), dataset).astype(float)
    low, high = np.percentile(values, (0.5, 99.5))
    picture = decode_picture(shipped(name))
    assert close(picture.pixels[0], np.clip((values - low) / (high - low), 0, 1) * 255)
    assert picture.about(0)["window_from"] == "percentile"


COLOUR = ["examples_rgb_color.dcm", "examples_jpeg2k.dcm", "SC_rgb_jpeg_gdcm.dcm", "SC_rgb_jls_lossy_line.dcm"]
COLOUR += ["SC_rgb_rle.dcm", "SC_ybr_full_422_uncompressed.dcm", "SC_rgb_dcmtk_+eb+cy+np.dcm", "ExplVR_BigEnd.dcm"]
COLOUR += ["SC_rgb_gdcm_KY.dcm", "SC_rgb_jpeg_dcmtk.dcm", "GDCMJ2K_TextGBR.dcm"]


@pytest.mark.parametrize("name", COLOUR)
def test_colour_of_the_package_is_pydicoms_own(name):
    assert np.array_equal(decode(shipped(name)), pixel_array(FOLDER / name))


def test_deep_colour_is_shifted_by_its_stored_bits():
    assert np.array_equal(decode(shipped("SC_rgb_rle_16bit.dcm")), pixel_array(FOLDER / "SC_rgb_rle_16bit.dcm") >> 8)
    assert np.array_equal(decode(shipped("SC_rgb_rle_32bit.dcm")), pixel_array(FOLDER / "SC_rgb_rle_32bit.dcm") >> 24)
    deep = np.random.default_rng(1).integers(0, 1 << 10, (12, 16, 3)).astype(np.uint16)
    assert np.array_equal(decode(a_dicom(deep, BitsStored=10, HighBit=9)), deep >> 2)


def test_a_palette_is_applied():
    dataset = dcmread(FOLDER / "examples_palette.dcm")
    expected = apply_color_lut(pixel_array(dataset), dataset) >> 8
    assert np.array_equal(decode(shipped("examples_palette.dcm")), expected)


def test_every_frame_of_a_film_is_a_slice():
    picture = decode_picture(shipped("examples_ybr_color.dcm"))
    assert np.array_equal(picture.pixels, pixel_array(FOLDER / "examples_ybr_color.dcm"))
    assert (len(picture), picture.about(29)["slice"], picture.about(29)["slices"]) == (30, 30, 30)
    with pytest.raises(ImageError, match="several_slices"):
        picture.only()


REASONS = {
    "MR_truncated.dcm": "truncated",
    "meta_missing_tsyntax.dcm": "no_uid",
    "no_meta.dcm": "not_an_image",
    "no_meta_group_length.dcm": "no_uid",
    "ExplVR_LitEndNoMeta.dcm": "not_an_image",
    "UN_sequence.dcm": "no_uid",
    "JPGExtended.dcm": "unsupported_dicom",
    "JPEG2000-embedded-sequence-delimiter.dcm": "corrupt",
    "SC_rgb_small_odd.dcm": "too_small",
}
SKIPPED = {
    "test-SR.dcm": "no_image_object",
    "reportsi.dcm": "no_image_object",
    "waveform_ecg.dcm": "no_image_object",
    "rtplan.dcm": "no_image_object",
    "rtplan_truncated.dcm": "no_image_object",
    "dicomdirtests/DICOMDIR": "no_image_object",
    "liver_1frame.dcm": "derived_object",
    "rtdose.dcm": "derived_object",
    "badVR.dcm": "derived_object",
}


@pytest.mark.parametrize(("name", "reason"), [*REASONS.items(), *SKIPPED.items()])
def test_malformed_files_and_files_without_an_image_have_their_reason(name, reason):
    with pytest.raises(ImageError) as caught:
        decode(shipped(name))
    assert caught.value.reason == reason
    assert isinstance(caught.value, SkippedScan) == (name in SKIPPED)


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e400"])
def test_a_rescaling_that_is_no_number_is_damage(keyword, text):
    dataset = dicom_dataset(RAMP, RescaleSlope=1, RescaleIntercept=0)
    dataset[keyword]._value = text
    assert reason_of(dicom_bytes(dataset)) == "corrupt"


@pytest.mark.parametrize("tags", [{"PhotometricInterpretation": "RGB"}, {"SamplesPerPixel": 3}])
def test_colours_that_do_not_go_with_the_samples_are_damage(tags):
    assert reason_of(a_dicom(np.repeat(RAMP, 3, axis=0), Rows=30, **tags)) == "corrupt"


def test_bits_that_begin_elsewhere_are_named_and_not_shown_as_others():
    shifted = (RAMP + 600).astype(np.uint16) << 4
    assert reason_of(a_dicom(shifted, BitsStored=12, HighBit=15)) == "unsupported_dicom"
    assert len(decode_picture(a_dicom(shifted >> 4, BitsStored=12, HighBit=11))) == 1


def test_compressed_frames_in_a_file_that_says_it_has_none_are_not_shown_as_pixels():
    frames = encapsulate([RAMP.tobytes()])
    whole = dicom_dataset(RAMP)
    whole.PixelData = frames
    assert reason_of(dicom_bytes(whole)) == "corrupt"
    data = a_dicom(RAMP)
    at = data.rfind(RAMP.tobytes())
    open_ended = data[: at - 4] + b"\xff\xff\xff\xff" + frames + b"\xfe\xff\xdd\xe0" + bytes(4)
    assert reason_of(open_ended) == "corrupt"


def test_our_own_outputs_are_passed_over():
    with pytest.raises(SkippedScan, match="own_output"):
        decode(a_dicom(RAMP, Manufacturer="fbclip-inspect"))


@pytest.mark.parametrize("field", ["SOPClassUID", "SOPInstanceUID"])
def test_a_file_that_does_not_say_what_it_is_is_refused(field):
    dataset = dicom_dataset(RAMP)
    delattr(dataset, field)
    with pytest.raises(ImageError) as caught:
        decode(dicom_bytes(dataset))
    assert caught.value.reason == "no_uid" and not isinstance(caught.value, SkippedScan)


def test_a_window_of_the_file_counts_after_the_rescaling():
    tags = {"RescaleSlope": "-2", "RescaleIntercept": "100", "WindowCenter": "40", "WindowWidth": "400"}
    expected = by_formula(RAMP * -2.0 + 100, 40, 400)
    picture = decode_picture(a_dicom(RAMP, **tags))
    assert close(picture.pixels[0], expected) and picture.about(0)["window"] == [-160.0, 239.0]
    # Where the slope is negative, the lowest values are the brightest.
    assert picture.pixels[0, 0, 0] == 255 and picture.pixels[0, -1, -1] == 0


def test_an_exact_window_and_a_sigmoid():
    exact = decode(a_dicom(RAMP, WindowCenter=0, WindowWidth=200, VOILUTFunction="LINEAR_EXACT"))[..., 0]
    assert close(exact, np.clip((RAMP + 100) / 200, 0, 1) * 255)
    curve = decode(a_dicom(RAMP, WindowCenter=0, WindowWidth=200, VOILUTFunction="SIGMOID"))[..., 0]
    assert close(curve, 255 / (1 + np.exp(-4 * RAMP / 200)))


def test_tables_of_modality_and_window():
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [256, 0, 16], [65535 - 257 * i for i in range(256)]
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    grey = np.arange(240, dtype=np.uint8).reshape(12, 20)
    shown = decode(a_dicom(grey, VOILUTSequence=Sequence([table])))[..., 0]
    assert close(shown, 255.0 - grey)
    table.ModalityLUTType = "US"
    shown = decode(a_dicom(grey, ModalityLUTSequence=Sequence([table]), WindowCenter=32768, WindowWidth=65536))[..., 0]
    assert close(shown, 255.0 - grey)


@pytest.mark.parametrize(
    "tags",
    [
        {"WindowCenter": "40", "WindowWidth": "0"},
        {"WindowCenter": "40", "WindowWidth": ""},
        {"WindowCenter": "40"},
        {"WindowWidth": "80"},
        {"WindowCenter": "", "WindowWidth": ""},
    ],
)
def test_impossible_windows_count_as_none(tags):
    picture = decode_picture(a_dicom(RAMP, **tags))
    assert picture.about(0)["window_from"] == "percentile"
    head = decode_picture(a_dicom(RAMP, BodyPartExamined="HEAD", **tags))
    assert head.about(0)["window_from"] == "head_ct" and close(head.pixels[0], by_formula(RAMP, 40, 80))


def test_a_window_in_words_counts_as_none():
    data = a_dicom(RAMP, WindowCenter="1234", WindowWidth="5678")
    words = data.replace(b"1234", b"SOFT").replace(b"5678", b"BONE")
    assert words != data and decode_picture(words).about(0)["window_from"] == "percentile"


def test_padding_does_not_move_the_percentiles():
    padded = RAMP.copy()
    padded[:, :20] = -2000
    picture = decode_picture(a_dicom(padded, PixelPaddingValue=-2000))
    assert picture.about(0)["window"] == list(np.percentile(padded[:, 20:], (0.5, 99.5)))
    ranged = decode_picture(a_dicom(padded, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-500))
    assert ranged.about(0)["window"] == list(np.percentile(padded[padded > -500], (0.5, 99.5)))


def test_it_is_inverted_once_whoever_asks_for_it():
    window = {"WindowCenter": 0, "WindowWidth": 400}
    plain = decode(a_dicom(RAMP, **window))
    for tags in (
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PresentationLUTShape": "INVERSE"},
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    ):
        assert np.array_equal(decode(a_dicom(RAMP, **window, **tags)), 255 - plain)


def test_a_declared_window_counts_instead_of_the_files():
    data = a_dicom(
        RAMP, WindowCenter=0, WindowWidth=10, RescaleSlope="2", RescaleIntercept="0", BitsStored=12, HighBit=11
    )
    declared = decode_picture(data, (-1000.0, 1000.0))
    assert close(declared.pixels[0], np.clip((RAMP * 2 + 1000) / 2000, 0, 1) * 255)
    assert declared.about(0)["window_from"] == "declared"
    assert decode_picture(data, "full").about(0)["window"] == [-4096.0, 4094.0]
    assert decode_picture(data, "percentile").about(0)["window_from"] == "percentile"


def test_an_enhanced_object_says_window_place_and_rescaling_by_frame():
    volume = blob(2)
    frames = []
    for center, slope, z in ((100, 1, 5.0), (500, 2, 2.5)):
        groups = {"FrameVOILUTSequence": {"WindowCenter": center, "WindowWidth": 300},
                  "PixelValueTransformationSequence": {"RescaleSlope": slope, "RescaleIntercept": 0},
                  "PlanePositionSequence": {"ImagePositionPatient": [0, 0, z]}}  # fmt: skip
        frame = Dataset()
        for name, values in groups.items():
            item = Dataset()
            for keyword, value in values.items():
                setattr(item, keyword, value)
            setattr(frame, name, Sequence([item]))
        frames.append(frame)
    shared, plane = Dataset(), Dataset()
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PlaneOrientationSequence = Sequence([plane])
    picture = decode_picture(
        a_dicom(
            volume, PerFrameFunctionalGroupsSequence=Sequence(frames), SharedFunctionalGroupsSequence=Sequence([shared])
        )
    )
    assert close(picture.pixels[0], by_formula(volume[0], 100, 300))
    assert close(picture.pixels[1], by_formula(volume[1] * 2.0, 500, 300))
    assert [one.position for one in picture.scan.slices] == [5.0, 2.5] and picture.scan.plane == "axial"


def test_empty_slices_are_not_judged_and_the_others_keep_their_numbers():
    volume = blob(4)
    volume[0], volume[3] = -200, -200
    picture = decode_picture(a_dicom(volume, WindowCenter=500, WindowWidth=1400))
    assert [one.number for one in picture.scan.slices] == [2, 3]
    assert picture.about(1) == {
        "format": "dicom", "slice": 3, "slices": 4, "judged": 2, "volume": None, "plane": None,
        "window": [-200.0, 1199.0], "window_from": "file",
    }  # fmt: skip
    with pytest.raises(ImageError, match="flat"):
        decode_picture(a_dicom(np.full((3, 24, 32), -200, np.int16), WindowCenter=500, WindowWidth=1400))


def test_a_cut_file_is_no_image_wherever_it_is_cut():
    for name in ("CT_small.dcm", "693_J2KI.dcm", "SC_rgb_dcmtk_+eb+cr.dcm", "MR_small_RLE.dcm"):
        data = shipped(name)
        for length in (133, 400, len(data) // 3, len(data) // 2, len(data) - 200):
            with pytest.raises(ImageError) as caught:
                decode(data[:length])
            assert caught.value.reason in {"truncated", "no_uid", "no_transfer_syntax", "corrupt"}, (name, length)


def test_a_jpeg_inside_that_was_cut_and_closed_again_is_corrupt():
    dataset = dcmread(FOLDER / "SC_rgb_dcmtk_+eb+cr.dcm")
    data = shipped("SC_rgb_dcmtk_+eb+cr.dcm")
    start = data.index(b"\xff\xda") + 300
    hole = bytearray(data)
    hole[start : start + 400] = b"\xff\xd9" * 200
    assert dataset.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    with pytest.raises(ImageError):
        decode(bytes(hole))


def test_what_would_be_too_large_is_refused_before_it_is_decoded():
    dataset = dicom_dataset(RAMP, NumberOfFrames=200_000)
    dataset.Rows = dataset.Columns = 512
    with pytest.raises(ImageError, match="too_large"):
        decode(dicom_bytes(dataset))
    dataset.NumberOfFrames = None
    dataset.Rows = dataset.Columns = 30_000
    with pytest.raises(ImageError, match="too_large"):
        decode(dicom_bytes(dataset))


def test_other_encodings_are_made_and_read_again():
    dataset = dicom_dataset(RAMP, WindowCenter=0, WindowWidth=400)
    expected = decode(dicom_bytes(dataset))
    dataset.compress(RLELossless)
    assert np.array_equal(decode(dicom_bytes(dataset)), expected)
    plain = dicom_dataset(RAMP, WindowCenter=0, WindowWidth=400)
    plain.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    plain["PixelData"].VR = "OW"
    assert np.array_equal(decode(dicom_bytes(plain)), expected)


def test_no_word_of_the_file_is_said_anywhere(caplog, capfd):
    """pydicom's warnings and errors quote values."""
    caplog.set_level(logging.DEBUG)
    bad = [
        a_dicom(RAMP, WindowCenter="40", WindowWidth="80", StudyDate="19700101"),
        a_dicom(RAMP, PhotometricInterpretation="MILLER"),
        a_dicom(RAMP).replace(b"4711", b"47\xff1").replace(b"MONOCHROME2 ", b"Miller^Anna "),
        a_dicom(RAMP)[:-900],
        a_dicom(RAMP, NumberOfFrames="7").replace(b"IS\x02\x007 ", b"IS\x02\x007A"),
    ]
    texts = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for data in bad:
            try:
                decode_picture(data)
            except ImageError as error:
                cause = error.__cause__
                texts += [str(error), repr(cause) if cause else ""]
    assert len(texts) >= 8
    said = " ".join([*texts, caplog.text, *capfd.readouterr(), *(str(one.message) for one in caught)]).lower()
    assert not any(word in said for word in ("miller", "4711", "19700101", "7a")) and NAME.lower() not in said
