"""What an image file says of itself, and how much of it may be decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fbclip.errors import ImageError

Format = Literal["PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP"]
MAX_BYTES = 256 << 20
MAX_PIXELS = 80_000_000
MAX_DECODED = 256 << 20
MIN_SIDE = 8
# Of a scan: 512 slices of 512 x 512, and what they may take at once while they are decoded.
MAX_VOXELS = 1 << 27
MAX_DECODED_SCAN = 512 << 20
# Of the files of a series together: their pixels as they may be decoded, and room for headers.
MAX_SERIES_BYTES = MAX_DECODED_SCAN + (64 << 20)


@dataclass(frozen=True)
class Header:
    """Sizes in pixels as they are stored; `depth` is bits per channel, `orientation` EXIF's number 1 to 8.

    `block` is the largest number of pixels that the decoder unpacks at once where it may be more than the image has.
    """

    format: Format
    width: int
    height: int
    depth: int = 8
    channels: int = 3
    orientation: int = 1
    block: int = 0

    @property
    def upright(self) -> tuple[int, int]:
        """(width, height) once the orientation is applied."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)

    @property
    def decoded_bytes(self) -> int:
        """Bytes of the pixels as the decoder holds them."""
        pixels = max(self.width * self.height, self.block)
        return pixels * max(3, self.channels) * -(-self.depth // 8)


def check_limits(header: Header) -> None:
    """Raises ImageError `too_large` or `too_small`, so that nothing is decoded which no memory was planned for."""
    size = f"{header.width}x{header.height}"
    if header.width * header.height > MAX_PIXELS:
        raise ImageError("too_large", f"{size} is more than {MAX_PIXELS} pixels")
    if header.decoded_bytes > MAX_DECODED:
        text = f"{size} with {header.channels} channels of {header.depth} bits"
        raise ImageError("too_large", f"{text} is more than {MAX_DECODED >> 20} MiB decoded")
    if min(header.width, header.height) < MIN_SIDE:
        raise ImageError("too_small", f"{size}, need at least {MIN_SIDE} pixels a side")


def check_scan_limits(width: int, height: int, slices: int, voxel_bytes: int) -> None:
    """The same of a scan; `voxel_bytes`: of all channels of one voxel, as they are decoded."""
    size = f"{slices} slices of {width}x{height}"
    voxels = slices * width * height
    if width * height > MAX_PIXELS or voxels > MAX_VOXELS or voxels * voxel_bytes > MAX_DECODED_SCAN:
        limits = f"{MAX_VOXELS} voxels or {MAX_DECODED_SCAN >> 20} MiB decoded"
        raise ImageError("too_large", f"{size} with {voxel_bytes} bytes a voxel are more than {limits}")
    if min(width, height) < MIN_SIDE:
        raise ImageError("too_small", f"{size}, need at least {MIN_SIDE} pixels a side")
