"""Memory that this process frees is kept for its next picture, instead of being given back to the system each time."""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache

_SETTINGS = {"MALLOC_TRIM_THRESHOLD_": (-1, 1 << 30), "MALLOC_MMAP_THRESHOLD_": (-3, 256 << 20)}
"""Variable of the environment -> the number of the same setting in GNU's malloc.h, and its bytes."""


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """For the whole process, once. Layers of one size ask for the same megabytes again and again; left to itself the C
    library gives them back, and the system clears every page anew: a third of the embedded model's time on a CPU.

    What is larger than a picture's layers is still given back. Nothing is changed without GNU's library, or where the
    environment says something else.
    """
    if _SETTINGS.keys() & os.environ.keys():
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for number, most in _SETTINGS.values():
            mallopt(number, most)
