"""A hot folder: every file that has come to rest is judged once.

The ledger in the database is the memory; what the file system tells (watchdog) is only a hint to look now,
because such hints get lost. The folder is read in full at the start and then at least every `rescan_s`.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

from agent.config.line import FolderSource
from agent.errors import SourceError
from agent.records import Disposition, FileState, Frame
from agent.sources.base import Clock, Sink, SystemClock
from agent.sources.ledger import FileLedger
from agent.sources.settling import Settling, Stamp, scan
from fbclip.errors import ImageError
from fbclip.files import file_sha256
from fbclip.images.decode import MAX_BYTES, decode, refuse_scan_name
from fbclip.images.geometry import RgbImage

log = logging.getLogger(__name__)
# A cut image may still be on its way over a slow line: so many settle times are waited before it counts as cut.
PATIENCE = 4
_LOOK_S = 0.2


class _Changed(Exception):
    """The file was written to, replaced or taken away while it was read."""


@dataclass(frozen=True, eq=False)
class _Opened:
    """A file's image, or the reason why it has none, and the digest of its bytes."""

    image: RgbImage | None
    reason: str | None
    sha256: str


class _Hint(FileSystemEventHandler):
    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def on_any_event(self, event: FileSystemEvent) -> None:
        # Opening and reading are events too, and the scan itself makes them.
        if event.event_type in {"created", "modified", "moved", "closed"}:
            self._wake()


class Folder:
    """Files of one folder as discrete frames; the sink should be a BlockingQueue."""

    def __init__(
        self, line: str, section: FolderSource, sink: Sink, ledger: FileLedger, clock: Clock | None = None
    ) -> None:
        self._line = line
        self._section = section
        self._sink = sink
        self._ledger = ledger
        self._clock = clock or SystemClock()
        self._seq = itertools.count(1)
        self._settling = Settling()
        self._handled: dict[Path, Stamp] = {}
        self._wake = threading.Event()
        self._observer: BaseObserver | None = None
        self._identity: tuple[int, int] | None = None
        self._unsettled = False
        self._health = "starting"
        self._problem: str | None = None

    @property
    def health(self) -> str:
        return self._health

    @property
    def problem(self) -> str | None:
        return self._problem

    def check(self) -> None:
        """Raises SourceError when the folder is missing or cannot be listed."""
        try:
            with os.scandir(self._section.path):
                pass
        except OSError as error:
            raise SourceError(f"line {self._line}: {self._section.path}: {error.strerror}") from error

    def run(self, stop: threading.Event) -> None:
        """Look, hand over, wait; a folder that is missing is reported and looked for again."""
        try:
            while not stop.is_set():
                self.look(stop)
                self._wait(stop)
        finally:
            self._unwatch()
            self._health = "stopped"

    def look(self, stop: threading.Event) -> None:
        """One scan: hand over every file that stands still and was not judged before."""
        self._wake.clear()
        root = self._section.path
        try:
            info = root.stat()
            self._watch((info.st_dev, info.st_ino))
            files = dict(scan(root, self._section.recursive))
        except OSError as error:
            self._lost(error)
            return
        self._handled = {path: stamp for path, stamp in self._handled.items() if files.get(path) == stamp}
        fresh = {path: stamp for path, stamp in files.items() if path not in self._handled}
        self._settling.observe(fresh, self._clock.monotonic())
        # Oldest first, as they arrived.
        for path, stamp in sorted(fresh.items(), key=lambda item: (item[1].mtime_ns, item[0])):
            if stop.is_set():
                return
            still = self._settling.still_for(path, self._clock.monotonic())
            if still >= self._section.settle_s and self._offer(path, stamp, still, stop):
                self._handled[path] = stamp
        self._unsettled = any(path not in self._handled for path in fresh)

    def _offer(self, path: Path, stamp: Stamp, still: float, stop: threading.Event) -> bool:
        """True when nothing more is to be done with this file as it is now."""
        known = self._ledger.find(self._line, str(path), stamp.size, stamp.mtime_ns)
        # Judged and moved away before, and here again: a copy that kept its time is a new arrival.
        arrived = known is None or known.disposition is Disposition.FINISHED
        if known is not None and not arrived and known.state is not FileState.PENDING:
            return True
        opened = self._open(path, stamp, still)
        if opened is None:
            return False
        if known is None or arrived:
            file_id = self._ledger.add_pending(self._line, str(path), stamp.size, stamp.mtime_ns, opened.sha256)
        else:
            file_id = known.id
        if not self._ledger.claim(file_id):
            return True
        frame = Frame(
            line=self._line,
            seq=next(self._seq),
            ts=self._clock.now(),
            monotonic=self._clock.monotonic(),
            image=opened.image,
            reason=opened.reason,
            path=str(path),
            sha256=opened.sha256,
            discrete=True,
            file_id=file_id,
        )
        return self._sink.put(frame, stop)

    def _open(self, path: Path, stamp: Stamp, still: float) -> _Opened | None:
        """The file's image, or why it has none; None when it should be looked at again later."""
        try:
            image, sha256 = self._read(path, stamp)
            return _Opened(image, None, sha256)
        except ImageError as error:
            if error.reason in {"truncated", "empty"} and still < PATIENCE * self._section.settle_s:
                return None
            reason = error.reason
        except _Changed:
            return None
        except OSError as error:
            # Locked by its writer or without permission: not judged, and not forgotten.
            self._report(f"a file cannot be read: {error.strerror}")
            return None
        try:
            return _Opened(None, reason, file_sha256(path))
        except OSError:
            return None

    @staticmethod
    def _read(path: Path, stamp: Stamp) -> tuple[RgbImage, str]:
        """The image and the digest of exactly the bytes it was decoded from."""
        if stamp.size > MAX_BYTES:
            raise ImageError("too_large", f"more than {MAX_BYTES} bytes")
        # No link that took the file's place is followed, and no pipe is waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
            info = os.fstat(stream.fileno())
        if not stat.S_ISREG(info.st_mode) or Stamp(info.st_size, info.st_mtime_ns, info.st_ino) != stamp:
            raise _Changed
        refuse_scan_name(path.name)
        return decode(data), hashlib.sha256(data).hexdigest()

    def _wait(self, stop: threading.Event) -> None:
        """Until there is a hint, a file may have settled, or the next scan is due."""
        seconds = self._section.rescan_s
        if self._unsettled:
            seconds = min(seconds, max(self._section.settle_s / 2, 0.05))
        until = self._clock.monotonic() + seconds
        while not stop.is_set() and (left := until - self._clock.monotonic()) > 0:
            if self._clock.wait(self._wake, min(left, _LOOK_S)):
                # A burst of hints is answered by one scan.
                self._clock.wait(stop, min(left, 0.05))
                return

    def _watch(self, identity: tuple[int, int]) -> None:
        """Follow the folder that is there now; a recreated one is another folder under the same name."""
        if identity != self._identity:
            self._unwatch()
            observer = PollingObserver() if self._section.network else Observer()
            try:
                observer.schedule(_Hint(self._wake.set), str(self._section.path), recursive=self._section.recursive)
                observer.start()
                self._observer = observer
            except OSError as error:
                # For instance no inotify watches left: scans alone do it, only later.
                log.warning("line %s: folder is scanned only, not watched: %s", self._line, error.strerror)
            self._identity = identity
        self._problem = None
        self._report("watching" if self._observer is not None else "scanning")

    def _unwatch(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
        self._observer = self._identity = None

    def _lost(self, error: OSError) -> None:
        self._unwatch()
        self._unsettled = False
        self._problem = f"folder cannot be read: {error.strerror}"
        self._report(self._problem)

    def _report(self, health: str) -> None:
        if health != self._health:
            log.info("line %s: %s", self._line, health)
        self._health = health
