"""DICOM and NIfTI files as scanners and exports write them, made from arrays; nobody's."""

from __future__ import annotations

import io
from typing import Any

import nibabel
import numpy as np
from pydicom import FileDataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

NAME = "Miller^Anna"
_MAY_BE_EMPTY = (
    "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName",
    "PositionReferenceIndicator",
)  # fmt: skip


def dicom_dataset(pixels: np.ndarray, **tags: Any) -> FileDataset:
    """A CT image of `pixels` (H,W), (N,H,W) or (H,W,3), patient NAME; `tags` by keyword, None takes one away."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = tags.get("SOPClassUID", CTImageStorage)
    meta.MediaStorageSOPInstanceUID = generate_uid()
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    values: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "SeriesInstanceUID": generate_uid(),
        "StudyInstanceUID": generate_uid(),
        "PatientName": NAME,
        "PatientID": "4711",
        "Modality": "CT",
        "Rows": pixels.shape[0] if colour or pixels.ndim == 2 else pixels.shape[1],
        "Columns": pixels.shape[1] if colour or pixels.ndim == 2 else pixels.shape[2],
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "BitsAllocated": 8 * pixels.dtype.itemsize,
        "BitsStored": 8 * pixels.dtype.itemsize,
        "HighBit": 8 * pixels.dtype.itemsize - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PlanarConfiguration": 0 if colour else None,
        "NumberOfFrames": len(pixels) if pixels.ndim == 3 and not colour else None,
    }
    for keyword, value in {**values, **tags}.items():
        if value is not None:
            setattr(made, keyword, value)
    made.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    made["PixelData"].VR = "OW" if pixels.dtype.itemsize > 1 else "OB"
    return made


def dicom_bytes(dataset: FileDataset) -> bytes:
    """The file, as it would lie in a folder."""
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def a_dicom(pixels: np.ndarray, **tags: Any) -> bytes:
    return dicom_bytes(dicom_dataset(pixels, **tags))


def a_nifti(voxels: np.ndarray, affine: np.ndarray | None = None, packed: bool = False) -> bytes:
    """A NIfTI-1 file of `voxels` (x,y,z[,t]), gzipped where `packed`."""
    import gzip

    image = nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine)
    data = image.to_bytes()
    return gzip.compress(data, 1) if packed else data


def blob(depth: int = 6, height: int = 24, width: int = 32, seed: int = 0) -> np.ndarray:
    """A volume (depth,height,width) int16 that is different everywhere, every slice full."""
    return np.random.default_rng(seed).integers(-200, 1200, (depth, height, width)).astype(np.int16)


def a_series(volume: np.ndarray, **tags: Any) -> list[FileDataset]:
    """One dataset a slice of (N,H,W): axial, 2.5 mm apart from the feet up, numbered from the head down as scanners
    often do, so that number and position disagree. `tags` of all slices."""
    study, series, frame = (generate_uid() for _ in range(3))
    out = []
    for index, pixels in enumerate(volume):
        values: dict[str, Any] = {
            "StudyInstanceUID": study,
            "SeriesInstanceUID": series,
            "FrameOfReferenceUID": frame,
            "InstanceNumber": len(volume) - index,
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "ImagePositionPatient": [-100.0, -80.0, 2.5 * index - 40],
            "PixelSpacing": [0.5, 0.5],
            "SliceThickness": 2.5,
            **dict.fromkeys(_MAY_BE_EMPTY, ""),
        }
        out.append(dicom_dataset(pixels, **{**values, **tags}))
    return out
