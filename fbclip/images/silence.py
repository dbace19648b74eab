"""C libraries print to file descriptor 2 what is then raised; here nobody hears it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silence() -> Iterator[None]:
    """Nothing that is written to standard error inside gets out."""
    try:
        kept = os.dup(2)
    except OSError:
        # A daemon may have closed it: then nothing can be printed.
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
