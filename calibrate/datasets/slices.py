"""Scans of several slices: each slice is judged, the file is the unit; and images whose depth is not used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from calibrate.datasets.sample import DataSet, Sample
from calibrate.datasets.series import with_series
from calibrate.errors import DataError
from calibrate.wording import listed
from fbclip.errors import ImageError
from fbclip.images.decode import image_size, read_image
from fbclip.images.scans.sniff import is_scan_file
from fbclip.images.window import Window

_LOOKED_AT = 8


def with_slices(data: DataSet) -> DataSet:
    """The same with one sample a slice of every scan that has several, in one file or in a series of files; nothing is
    decoded, and done again it changes nothing.

    Raises OSError; DataError as `with_series`. What cannot be read stays one sample, which is then refused with its
    reason.
    """
    return replace(data, samples=tuple(one for sample in with_series(data.samples) for one in _slices(sample)))


def with_normal_slices(data: DataSet) -> DataSet:
    """The same for what learns from labelled images: every slice of a normal volume is normal.

    Raises OSError; DataError for an anomalous volume, whose label does not say which of its slices are.
    """
    found = with_slices(data)
    anomalous = list(dict.fromkeys(one.volume.name for one in found.samples if one.slice is not None and one.label))
    if anomalous:
        raise DataError(
            f"{len(anomalous)} anomalous volumes do not say which of their slices are: {listed(anomalous)}; leave them "
            "out (defects are painted on normal slices then), or give the slices as images of their own"
        )
    return found


def refuse_volumes(samples: Sequence[Sample], why: str) -> None:
    """Raises DataError, with `why` and the way out, where a file has several slices; OSError."""
    volumes = [one for sample in with_series(samples) for one in _slices(sample) if one.slice == 0]
    if volumes:
        raise DataError(f"{len(volumes)} volumes, as {volumes[0].path.name}: {why}")


def _slices(sample: Sample) -> Iterator[Sample]:
    count = 1
    if sample.slice is None and is_scan_file(sample.path):
        try:
            count = image_size(sample.path.read_bytes())[2]
        except ImageError:
            count = 1
    yield from [sample] if count == 1 else (replace(sample, slice=index) for index in range(count))


def depth_note(samples: Sequence[Sample], window: Window) -> str | None:
    """What to say of 16-bit images whose topmost bits are never set: their full range shows them too dark.

    Looks at the first few; None where the window is declared or the bits are used.
    """
    if window not in {"dicom", "full"}:
        return None
    unused = []
    for sample in [one for one in samples if one.slice is None][:_LOOKED_AT]:
        try:
            unused.append(read_image(sample.path, window).picture.unused_bits)
        except (ImageError, OSError):
            continue
    least = min(unused, default=0)
    if least < 2:
        return None
    high = (1 << (16 - least)) - 1
    return (
        f"the images use {16 - least} of their 16 bits, so they are seen {1 << least} times too dark; "
        f"add --window 0,{high}"
    )
