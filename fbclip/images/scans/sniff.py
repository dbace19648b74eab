"""Which files of a folder are scans: by suffix, and without a telling one by what they begin with."""

from __future__ import annotations

import os
import re
from pathlib import Path

SCAN_SUFFIXES = (".dcm", ".dicom", ".ima", ".nii", ".nii.gz")
# What follows the last full stop of an exported name is often the end of a number: 1.2.840.10008.1234, IM.0001.
_TELLING = re.compile(r"\.[a-z][a-z0-9]{0,9}$")


def is_scan_file(path: Path) -> bool:
    """Exports of DICOM often have no suffix, so of such files the first bytes are read; false where that fails."""
    name = path.name.lower()
    if name.endswith(SCAN_SUFFIXES):
        return True
    if _TELLING.search(name):
        return False
    try:
        # No pipe is waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False
