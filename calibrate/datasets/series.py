"""DICOM files of one series are the slices of one volume, in the order and by the rules of the agent's hot folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from calibrate.datasets.sample import Sample
from calibrate.errors import DataError
from fbclip.errors import ImageError
from fbclip.images.scans.series_order import DUPLICATE, SliceHeader, arrange
from fbclip.images.scans.signs import is_dicom
from fbclip.images.scans.sniff import is_scan_file


def with_series(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """The samples, those of one series together and in order, as slices of one unit, where its first file stood. The
    same object twice counts once. A series of one file is an image, and one with several frames a volume by itself.

    Raises OSError; DataError where the files of a series are no volume, or have two labels.
    """
    headers = {index: header for index, sample in enumerate(samples) if (header := _header(sample)) is not None}
    of_series: dict[str, list[int]] = defaultdict(list)
    for index, header in headers.items():
        of_series[header.series].append(index)
    volumes = {places[0]: _ordered(samples, headers, places) for places in of_series.values() if len(places) > 1}
    inside = {index for places in of_series.values() if len(places) > 1 for index in places}
    out: list[Sample] = []
    for index, sample in enumerate(samples):
        if index not in inside:
            out.append(sample)
        out += volumes.get(index, [])
    return tuple(out)


def _ordered(samples: Sequence[Sample], headers: dict[int, SliceHeader], places: Sequence[int]) -> list[Sample]:
    files = [samples[index] for index in places]
    name = f"the series of {files[0].path.name}"
    if len({(one.label, one.class_name, one.split) for one in files}) > 1:
        raise DataError(f"{name}: its files have several labels, classes or splits; a volume has one")
    try:
        plan = arrange({at: headers[index] for at, index in enumerate(places)}, range(len(places)))
    except ImageError as error:
        raise DataError(f"{name} is no volume: {error}; take it out of the data") from error
    unlike = [fault for fault in plan.faults if fault.reason != DUPLICATE]
    if unlike:
        raise DataError(f"{name}: {files[unlike[0].file].path.name} is another file under the identifier of one of it")
    slices = [files[at] for at in plan.files]
    if len(slices) == 1:
        return slices
    paths, unit = tuple(one.path for one in slices), min(one.unit for one in files)
    return [replace(one, unit=unit, slice=order, series=paths) for order, one in enumerate(slices)]


def _header(sample: Sample) -> SliceHeader | None:
    """Of a whole file that is a slice; what is damaged is left to whoever reads it as an image."""
    if sample.slice is not None or not is_scan_file(sample.path):
        return None
    data = sample.path.read_bytes()
    if not is_dicom(data):
        return None
    # The library that reads DICOM takes seconds to load.
    from fbclip.images.scans.series_header import slice_header

    try:
        found = slice_header(data)
    except ImageError:
        return None
    return None if found is None or found.fault is not None else found
