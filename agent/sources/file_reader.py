"""A file of a hot folder -> its picture, or the reason why it has none. No file is trusted."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from agent.sources.disposition import judged_sha256
from agent.sources.settling import Stamp
from fbclip.errors import ImageError, SkippedScan
from fbclip.images.decode_process import DecodeProcess, DecodingCancelled
from fbclip.images.header import MAX_BYTES
from fbclip.images.picture import Picture
from fbclip.images.scans.series_order import SliceHeader
from fbclip.images.scans.signs import is_dicom
from fbclip.images.window import DEFAULT_WINDOW, Window

log = logging.getLogger(__name__)
# Damage that may only be the part which has not arrived yet.
_UNFINISHED = frozenset({"truncated", "empty", "corrupt", "no_uid"})


class FileChanged(Exception):
    """The file was written to, replaced or taken away while it was read."""


@dataclass(frozen=True, eq=False)
class OpenedFile:
    """What a file holds, or the reason why it cannot be judged, or need not be; and the digest of its bytes.

    header: of a slice that waits for its series.
    """

    picture: Picture | None
    reason: str | None
    sha256: str
    window: Window = DEFAULT_WINDOW
    skipped: bool = False
    header: SliceHeader | None = None


class FileReader:
    """Decodes in a process of its own. Owned by one thread."""

    def __init__(
        self, line: str, decoder: DecodeProcess, window: Callable[[], Window], by_series: bool = False
    ) -> None:
        """`window`: the one of the line's profile, asked for each file, because the profile may be replaced.

        `by_series`: of slices of a series only the header is read.
        """
        self._by_series = by_series
        self._line = line
        self._decoder = decoder
        self._window = window
        self.problem: str | None = None

    def make_ready(self, cancelled: Callable[[], bool]) -> bool:
        """Before a file is entered: starting the decoder takes longer than any file, and a file that is entered and not
        read is suspected of the agent's death. False where it cannot be started; then `problem` says why."""
        try:
            self._decoder.make_ready(cancelled)
        except DecodingCancelled:
            return False
        except OSError as error:
            self.problem = f"no file can be read: {error.strerror}"
            return False
        self.problem = None
        return True

    def open(  # noqa: PLR0911 - one return for each thing that a file may be
        self,
        path: Path,
        stamp: Stamp,
        patient: bool,
        cancelled: Callable[[], bool],
        seen: Callable[[str], bool] = lambda _: False,
    ) -> OpenedFile | None:
        """The file as it was when it had `stamp`; None when it should be looked at again later. `patient`: what looks
        unfinished may still be on its way. `seen`: whether bytes of this digest need no second verdict.

        Raises OSError where it cannot be read now: locked by its writer, or without permission.
        """
        try:
            data = read_stable(path, stamp)
            sha256 = hashlib.sha256(data).hexdigest()
            if seen(sha256):
                return OpenedFile(None, "same_content", sha256, skipped=True)
            window = self._window()
            header = self._decoder.header(data, cancelled) if self._by_series and is_dicom(data) else None
            if header is not None and patient and header.fault in _UNFINISHED:
                return None
            picture = self._decoder.decode(data, cancelled, window) if header is None else None
            return OpenedFile(picture, None, sha256, window, header=header)
        except ImageError as error:
            if patient and error.reason in _UNFINISHED:
                return None
            refused = refuse(path, error.reason)
            return replace(refused, skipped=True) if refused and isinstance(error, SkippedScan) else refused
        except (FileChanged, DecodingCancelled):
            return None
        except OSError:
            raise
        except Exception:
            # One file never stops a folder, whatever it does to the reader.
            log.exception("line %s: a file cannot be read", self._line)
            return refuse(path, "reader_error")

    def close(self) -> None:
        """End the decoder's process."""
        self._decoder.close()


def refuse(path: Path, reason: str) -> OpenedFile | None:
    """Answered with a reason, and not decoded; None where it is gone."""
    try:
        return OpenedFile(None, reason, judged_sha256(path))
    except OSError:
        return None


def read_stable(path: Path, stamp: Stamp) -> bytes:
    """Exactly the bytes that stood still. Raises ImageError for a file that is not even read, FileChanged, OSError."""
    if stamp.size > MAX_BYTES:
        raise ImageError("too_large", f"more than {MAX_BYTES} bytes")
    # No link that took the file's place is followed, and no pipe is waited for.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
        data = stream.read(MAX_BYTES + 1)
        info = os.fstat(stream.fileno())
    if not stat.S_ISREG(info.st_mode) or Stamp(info.st_size, info.st_mtime_ns, info.st_ino) != stamp:
        raise FileChanged
    return data
