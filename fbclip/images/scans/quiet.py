"""Readers of scans, kept from talking: their warnings and errors quote names, dates and other values of the file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from fbclip.errors import ImageError
from fbclip.images.silence import silence

for _name in ("pydicom", "nibabel", "nibabel.global", "pylibjpeg"):
    _logger = logging.getLogger(_name)
    _logger.setLevel(logging.CRITICAL + 1)
    _logger.propagate = False


@contextmanager
def quiet(what: str) -> Iterator[list[warnings.WarningMessage]]:
    """The warnings inside; whatever else is raised there becomes ImageError `corrupt` or `truncated` without a word of
    what `what` (DICOM, NIfTI) holds. ImageError and MemoryError pass."""
    with warnings.catch_warnings(record=True) as caught, silence():
        warnings.simplefilter("always")
        try:
            yield caught
        except (ImageError, MemoryError):
            raise
        except EOFError:
            # The cause quotes values of the file, here and below.
            raise ImageError("truncated", f"the {what} file ends early") from None
        except Exception:
            raise ImageError("corrupt", f"the {what} file cannot be decoded") from None  # its text quotes values
