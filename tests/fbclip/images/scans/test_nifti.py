"""NIfTI volumes to axial slices, the same whichever way a file stores them."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.testing import data_path

from fbclip.errors import ImageError
from fbclip.images.decode import decode_picture, image_size
from tests.factories.scans import a_nifti

BRAIN = (Path(data_path) / "example4d.nii.gz").read_bytes()
VOXELS = np.random.default_rng(3).integers(0, 3000, (20, 24, 5)).astype(np.int16)


def reason(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode_picture(data)
    return caught.value.reason


def canonical(data: bytes) -> np.ndarray:
    """nibabel's own way, (x,y,z,t): right, front, up."""
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    found = nibabel.as_closest_canonical(image).get_fdata()
    return found if found.ndim == 4 else found[..., None]


def expected(data: bytes) -> np.ndarray:
    """Slices (N,H,W) through the percentiles of their volume."""
    out = []
    for volume in np.moveaxis(canonical(data), 3, 0):
        low, high = np.percentile(volume, (0.5, 99.5))
        levels = np.clip((volume - low) / (high - low), 0, 1) * 255
        out += [levels[::-1, ::-1, z].T for z in range(levels.shape[2])]
    return np.array(out)


def test_a_real_brain_of_two_volumes():
    picture = decode_picture(BRAIN)
    assert picture.pixels.shape == (48, 96, 128)
    assert np.abs(picture.pixels - expected(BRAIN)).max() <= 1
    assert (picture.about(47)["slice"], picture.about(47)["volume"], picture.about(0)["plane"]) == (24, 2, "axial")
    assert image_size(BRAIN) == (128, 96, 48)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0), (0, 2, 1)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (-1, -1, 1)])
def test_axes_are_put_in_the_patients_order(order, signs):
    affine = np.zeros((4, 4))
    for axis, (to, sign) in enumerate(zip(order, signs, strict=True)):
        affine[to, axis] = sign * (1.5 + axis)
    affine[3, 3] = 1
    shape = [0, 0, 0]
    for axis, to in enumerate(order):
        shape[axis] = (20, 24, 9)[to]
    data = a_nifti(np.random.default_rng(1).integers(0, 900, shape).astype(np.int16), affine, packed=True)
    picture = decode_picture(data)
    assert picture.pixels.shape == (9, 24, 20) and np.abs(picture.pixels - expected(data)).max() <= 1


def test_empty_slices_and_values_that_are_none():
    voxels = VOXELS.astype(np.float32)
    voxels[:, :, 0], voxels[:, :, 4] = 0, np.nan
    picture = decode_picture(a_nifti(voxels))
    assert [one.number for one in picture.scan.slices] == [2, 3, 4] and picture.scan.total == 5
    assert picture.about(0)["window"] == list(np.percentile(voxels[np.isfinite(voxels)], (0.5, 99.5)))
    assert reason(a_nifti(np.zeros((20, 24, 5), np.int16))) == "flat"


def test_declared_windows():
    data = a_nifti(VOXELS)
    slices = decode_picture(data, (0.0, 3000.0)).pixels
    assert np.abs(slices[2] - np.clip(VOXELS[::-1, ::-1, 2].T / 3000, 0, 1) * 255).max() <= 1
    assert decode_picture(data, "full").about(0)["window"] == [-32768.0, 32767.0]
    with pytest.raises(ImageError, match="no_window"):
        decode_picture(a_nifti(VOXELS.astype(np.float32)), "full")


def test_what_cannot_be_a_volume_is_named():
    assert reason(a_nifti(np.ones((9, 9, 9, 2, 2), np.int16))) == "unsupported_nifti"
    assert reason(a_nifti(np.ones((9, 9), np.int16))) == "unsupported_nifti"
    assert reason(a_nifti(np.ones((9, 9, 9), np.complex64))) == "unsupported_nifti"
    assert reason(a_nifti(VOXELS)[:344] + b"ni1\0" + bytes(400)) == "unsupported_nifti"
    assert reason(a_nifti(VOXELS[:5])) == "too_small"


@pytest.mark.parametrize("start", [0.0, 100.0])
def test_voxels_that_begin_within_the_header_are_damage(start):
    data = bytearray(a_nifti(VOXELS))
    struct.pack_into("<f", data, 108, start)
    assert reason(bytes(data)) == "corrupt"


def test_cut_and_damaged_files_are_no_volume():
    plain, packed = a_nifti(VOXELS), a_nifti(VOXELS, packed=True)
    assert reason(plain[:-10]) == reason(plain[:600]) == reason(packed[:-900]) == "truncated"
    hurt = bytearray(packed)
    hurt[-5] ^= 0xFF
    assert reason(bytes(hurt)) == "corrupt"
    assert reason(gzip.compress(b"no volume")) == "not_an_image"


def test_a_bomb_is_unpacked_no_further_than_it_says():
    """A header of 5 slices and a gigabyte behind it; and one whose header says a gigabyte."""
    plain = a_nifti(VOXELS)
    member = gzip.compress(bytes(64 << 20), 9)
    picture = decode_picture(gzip.compress(plain) + member * 16)
    assert len(picture) == 5
    header = nibabel.Nifti1Header()
    header.set_data_shape((2000, 2000, 2000))
    assert reason(gzip.compress(header.binaryblock + bytes(1000))) == "too_large"
