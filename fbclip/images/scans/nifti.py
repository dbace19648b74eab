"""A NIfTI file -> its axial slices as 8-bit grey, as a DICOM viewer shows them: front up, the patient's right at left.

A compressed file is unpacked no further than its header says it is long, and that is bounded first.
"""

from __future__ import annotations

import io
import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from fbclip.errors import ImageError
from fbclip.images.header import check_scan_limits
from fbclip.images.picture import Picture, ScanFacts, SliceFacts, WindowOrigin
from fbclip.images.scans.emptiness import keep_full
from fbclip.images.scans.quiet import quiet
from fbclip.images.scans.signs import GZIP, nifti_head
from fbclip.images.window import Window, percentile_limits, through

_MOST_BEFORE_VOXELS = 1 << 20
_PAIRS = (b"ni1\0", b"ni2\0")


def nifti_size(data: bytes) -> tuple[int, int, int]:
    """(width, height, slices) of the axial slices from the header alone; raises as `read_nifti`."""
    with quiet("NIfTI"):
        layout = _layout(nifti_head(data))
        return layout.width, layout.height, layout.depth * layout.volumes


def read_nifti(data: bytes, window: Window) -> Picture:
    """Every slice that is not empty, from the feet up; of a file with several volumes, of each of them.

    Raises ImageError: truncated, corrupt, unsupported_nifti, too_large, too_small, no_window, flat.
    """
    with quiet("NIfTI"):
        layout = _layout(nifti_head(data))
        plain = _unpacked(data, layout.length) if data.startswith(GZIP) else data
        if len(plain) < layout.length:
            raise ImageError("truncated", "the NIfTI file holds fewer voxels than it says")
        voxels = ArrayProxy(io.BytesIO(plain), layout.header)
        pixels = np.empty((layout.volumes * layout.depth, layout.height, layout.width), np.uint8)
        slices: list[SliceFacts] = []
        for number in range(layout.volumes):
            limits, origin = _limits(layout, voxels, number, window)
            for at in range(layout.depth):
                pixels[len(slices)] = through(layout.slice(voxels, at, number), *limits)
                named = number + 1 if layout.volumes > 1 else None
                slices.append(SliceFacts(order=len(slices), number=at + 1, window=limits, origin=origin, volume=named))
        pixels, slices = keep_full(pixels, slices)
        facts = ScanFacts(format="nifti", total=layout.depth * layout.volumes, slices=tuple(slices), plane="axial")
    return Picture(pixels, facts)


@dataclass(frozen=True, eq=False)
class _Layout:
    """`axes` and `flips`: for x, y and z of the patient (to the right, to the front, up) the file's axis, and whether
    it runs the other way."""

    header: Nifti1Header
    axes: tuple[int, ...]
    flips: tuple[bool, ...]
    shape: tuple[int, ...]

    @property
    def width(self) -> int:
        return self.shape[self.axes[0]]

    @property
    def height(self) -> int:
        return self.shape[self.axes[1]]

    @property
    def depth(self) -> int:
        return self.shape[self.axes[2]]

    @property
    def volumes(self) -> int:
        return self.shape[3] if len(self.shape) == 4 else 1

    @property
    def length(self) -> int:
        """Bytes of the whole file, unpacked."""
        return int(self.header.get_data_offset() + math.prod(self.shape) * self.header.get_data_dtype().itemsize)

    def slice(self, voxels: ArrayProxy, at: int, number: int) -> NDArray[Any]:
        """Slice `at`, counted from the feet, of a volume, (H,W); nothing else is read."""
        where: list[int | slice] = [slice(None)] * 3
        where[self.axes[2]] = self.depth - 1 - at if self.flips[2] else at
        found = np.asarray(voxels[(*where, number) if len(self.shape) == 4 else tuple(where)])
        if self.axes[0] > self.axes[1]:
            found = found.T
        # Now (x, y), each along the file; shown is x falling from left to right, and y falling from top to bottom.
        return found[:: 1 if self.flips[0] else -1, :: 1 if self.flips[1] else -1].T


def _layout(head: bytes) -> _Layout:
    """The header, checked; voxels are not looked at."""
    if head[344:348] in _PAIRS or head[4:8] in _PAIRS:
        raise ImageError("unsupported_nifti", "header and voxels are two files; save them as one .nii")
    header = (Nifti2Header if head[4:8] == b"n+2\0" else Nifti1Header).from_fileobj(io.BytesIO(head), check=False)
    shape = tuple(map(int, header.get_data_shape()))
    if not 3 <= len(shape) <= 4 or min(shape) < 1:
        raise ImageError("unsupported_nifti", f"{len(shape)} dimensions; a volume has 3, or 4 where there are several")
    kind = header.get_data_dtype()
    if kind.kind not in "iuf" or kind.itemsize > 8:
        raise ImageError("unsupported_nifti", "voxels that are no plain numbers")
    if header.get_data_offset() > _MOST_BEFORE_VOXELS:
        raise ImageError("too_large", "more than 1 MiB before the voxels of the NIfTI file")
    turned = io_orientation(header.get_best_affine())
    if not np.isfinite(turned).all():
        raise ImageError("corrupt", "the NIfTI file does not say how its volume lies")
    axes = tuple(int(np.flatnonzero(turned[:, 0] == axis)[0]) for axis in range(3))
    layout = _Layout(header, axes, tuple(bool(turned[axis, 1] < 0) for axis in axes), shape)
    check_scan_limits(layout.width, layout.height, layout.depth * layout.volumes, kind.itemsize)
    if header.get_data_offset() < header.sizeof_hdr:
        raise ImageError("corrupt", "the voxels of the NIfTI file begin within its header")
    return layout


def _limits(
    layout: _Layout, voxels: ArrayProxy, number: int, window: Window
) -> tuple[tuple[float, float], WindowOrigin]:
    if isinstance(window, tuple):
        return window, "declared"
    if window == "full":
        kind = layout.header.get_data_dtype()
        if kind.kind == "f":
            raise ImageError(
                "no_window", "floating-point voxels have no full range; calibrate with --window percentile"
            )
        ends = [float(end) * voxels.slope + voxels.inter for end in (np.iinfo(kind).min, np.iinfo(kind).max)]
        return (min(ends), max(ends)), "full"
    parts = (layout.slice(voxels, at, number) for at in range(layout.depth))
    return percentile_limits(parts, math.prod(layout.shape[:3])), "percentile"


def _unpacked(data: bytes, length: int) -> bytes:
    """`length` bytes of one or several gzip members, whose checksums are compared; raises ImageError."""
    out, rest = bytearray(), data
    try:
        while len(out) <= length and rest.startswith(GZIP):
            member = zlib.decompressobj(31)
            out += member.decompress(rest, length + 1 - len(out))
            if len(out) > length:
                # What follows the voxels is not looked at.
                return bytes(out)
            if not member.eof:
                raise ImageError("truncated", "the compressed NIfTI file ends early")
            rest = member.unused_data
    except zlib.error as error:
        raise ImageError("corrupt", "the compressed NIfTI file is damaged") from error
    return bytes(out)
