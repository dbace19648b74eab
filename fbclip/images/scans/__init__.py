"""Scans: DICOM files and NIfTI volumes to 8-bit slices, without a word of whom they show."""
