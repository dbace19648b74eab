"""What was found in a DICOM image, as DICOM: the overlay as a Secondary Capture, the regions as a Segmentation.

Both refer to the instance and frame that they were made from, and to all the others of a series that was judged as one
volume; they name the patient as it does, and say what they are not.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import highdicom
import numpy as np
from highdicom.sc import SCImage
from highdicom.seg import Segmentation, SegmentDescription
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes

from fbclip import __version__
from fbclip.images.geometry import BoolMap, RgbImage
from fbclip.images.scans.kinds import OWN_MANUFACTURER

DISCLAIMER = "research use only, not a diagnosis"
# A code string has at most 16 capitals; the description beside it says it in full.
_LABEL = "RESEARCH_USE"
_SERIES_NUMBER = 9000
_MODEL = "fbclip-inspect"


def secondary_capture(source: Dataset, frame: int, overlay: RgbImage, others: Sequence[Dataset] = ()) -> Dataset:
    """(H,W,3) uint8 RGB `overlay` of frame `frame` (from 1) of `source`, with the disclaimer burned in.

    `others`: the other slices of its series, which were judged with it.
    """
    made = SCImage.from_ref_dataset(
        ref_dataset=source,
        pixel_array=_with_text(overlay),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        series_instance_uid=highdicom.UID(),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer=OWN_MANUFACTURER,
        # Replaced below: this one has to be named, and an ultrasound has none.
        patient_orientation=("L", "P"),
    )
    made.PatientOrientation = list(source.get("PatientOrientation") or [])
    made.SeriesDescription = DISCLAIMER
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.DerivationDescription = f"heat map and regions of an anomaly detector; {DISCLAIMER}"
    made.BurnedInAnnotation = "YES"
    made.Modality = "OT"
    reference = _reference(source)
    if int(source.get("NumberOfFrames") or 1) > 1:
        reference.ReferencedFrameNumber = frame
    made.SourceImageSequence = [reference]
    if others:
        # The picture shows one slice; the verdict is of them all.
        made.ReferencedImageSequence = [_reference(one) for one in others]
    return made


def _reference(source: Dataset) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    return reference


def segmentation(sources: Sequence[Dataset], frame: int, mask: BoolMap) -> Dataset:
    """The (H,W) `mask` of frame `frame` (from 1) of the one source, or of the frame-th of several slices of a series;
    at least one pixel of it is set.

    Raises ValueError for a source that a segmentation cannot refer to: without a frame of reference, as many are.
    """
    frames = len(sources) if len(sources) > 1 else int(sources[0].get("NumberOfFrames") or 1)
    pixels: NDArray[np.uint8] = np.zeros((frames, *mask.shape), np.uint8)
    pixels[frame - 1] = mask
    segment = SegmentDescription(
        segment_number=1,
        segment_label=f"anomaly, {DISCLAIMER}",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.MorphologicallyAbnormalStructure,
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=_MODEL, version=__version__, family=codes.DCM.ArtificialIntelligence
        ),
    )
    return Segmentation(
        source_images=list(sources),
        pixel_array=pixels if frames > 1 else pixels[0],
        segmentation_type="BINARY",
        segment_descriptions=[segment],
        series_instance_uid=highdicom.UID(),
        series_number=_SERIES_NUMBER + 1,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer=OWN_MANUFACTURER,
        manufacturer_model_name=_MODEL,
        software_versions=__version__,
        device_serial_number="0",
        content_label=_LABEL,
        content_description=DISCLAIMER,
        series_description=DISCLAIMER,
    )


def _with_text(image: RgbImage) -> RgbImage:
    """A copy with the disclaimer in a bar of its own below the image, as wide as the image allows."""
    width = image.shape[1]
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 1.0
    (text_width, text_height), base = cv2.getTextSize(DISCLAIMER, font, scale, 1)
    scale = min(1.0, 0.96 * width / text_width)
    bar = np.zeros((max(12, round((text_height + base) * scale * 1.6)), width, 3), np.uint8)
    cv2.putText(
        bar,
        DISCLAIMER,
        (round(0.02 * width), round(bar.shape[0] * 0.7)),
        font,
        scale,
        (255, 255, 255),
        1,
        cv2.LINE_AA,
    )
    return np.ascontiguousarray(np.concatenate([image, bar]))
