"""Which DICOM objects hold an image of a patient, by their SOP class. What holds none is passed over, not failed."""

from __future__ import annotations

import re

from pydicom import Dataset

from fbclip.errors import ImageError, SkippedScan

OWN_MANUFACTURER = "fbclip-inspect"
"""What objects that this product writes say in (0008,0070): they are never judged again."""
_DICOMDIR = "1.2.840.10008.1.3.10"
_STORAGE = "1.2.840.10008.5.1.4.1.1."
# Reports, curves, waveforms, presentation states, protocols, registrations, measurements, documents, plans.
_WITHOUT_IMAGE = re.compile(
    r"(88|9|11|68|78|79|80|90|91|104|129|131|200|201)(\..*)?|8|10|66(\.[12356])?|67|4\.2|77\.1\.5\.3|501\.3"
    r"|481\.(?!(1|2|23|24)$)\d+"
)
# Computed from images: segmentations, parametric, thickness and height maps, doses.
_DERIVED = re.compile(r"66\.[478]|30|481\.2|81\.1|82\.1")


def require_image(dataset: Dataset, media_class: str) -> None:
    """Raises SkippedScan: no_image_object, derived_object, own_output; ImageError: no_uid."""
    if media_class == _DICOMDIR:
        raise SkippedScan("no_image_object", "a directory of DICOM files")
    sop_class, instance = str(dataset.get("SOPClassUID") or ""), str(dataset.get("SOPInstanceUID") or "")
    if not sop_class or not instance:
        raise ImageError("no_uid", "the DICOM file does not say what it is: SOP Class or Instance UID is missing")
    if str(dataset.get("Manufacturer") or "") == OWN_MANUFACTURER:
        raise SkippedScan("own_output", "written by this product")
    kind = sop_class.removeprefix(_STORAGE) if sop_class.startswith(_STORAGE) else ""
    if _DERIVED.fullmatch(kind):
        raise SkippedScan("derived_object", "a segmentation, dose or map computed from images")
    if _WITHOUT_IMAGE.fullmatch(kind):
        raise SkippedScan("no_image_object", "a report, waveform, plan or other object without an image")
