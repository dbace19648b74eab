"""A DICOM file -> what tells which series it is a slice of, and where in it. No pixel is decoded."""

from __future__ import annotations

import hashlib
import io

from pydicom import Dataset, dcmread

from fbclip.errors import ImageError
from fbclip.images.scans.dicom import check_header, is_grey, refuse_cut
from fbclip.images.scans.quiet import quiet
from fbclip.images.scans.series_order import SliceHeader
from fbclip.images.scans.tags import digest, number, orientation, place, whole


def slice_header(data: bytes) -> SliceHeader | None:
    """None for a file that is judged by itself: it has several frames, or belongs to no series.

    Raises SkippedScan and ImageError as `read_dicom` does for a header; pixels that are not all there are the `fault`.
    """
    with quiet("DICOM") as caught:
        header = dcmread(io.BytesIO(data), stop_before_pixels=True)
        frames = check_header(header)
        # A series without a study is told apart by its own identifier alone.
        series = digest(header.get("SeriesInstanceUID"), header.get("StudyInstanceUID") or "no study")
        instance = digest(header.get("SOPInstanceUID"))
        if frames > 1 or series is None or instance is None:
            return None
        fault = None
        try:
            refuse_cut(dcmread(io.BytesIO(data)), caught, frames)
        except ImageError as error:
            fault = error.reason
        directions, at = orientation(header, 0), place(header, 0)
        return SliceHeader(
            sha256=hashlib.sha256(data).hexdigest(),
            series=series,
            instance=instance,
            width=whole(header, "Columns"),
            height=whole(header, "Rows"),
            voxel_bytes=whole(header, "SamplesPerPixel", default=1) * -(-whole(header, "BitsAllocated") // 8),
            coloured=not is_grey(header),
            directions=None if directions is None else tuple(directions),
            place=None if at is None else tuple(at),
            number=_instance_number(header),
            fault=fault,
        )


def _instance_number(header: Dataset) -> int | None:
    found = number(header, "InstanceNumber")
    return None if found is None or abs(found) > 1 << 31 else int(found)
