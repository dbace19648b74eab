"""A hot folder: every file that has come to rest is judged once.

The ledger in the database is the memory; what the file system tells (watchdog) is only a hint to look now,
because such hints get lost. The folder is read in full at the start and then at least every `rescan_s`. No file is
trusted: it is entered in the ledger before it is opened, and decoded in a process of its own.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import stat
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

from agent.config.line import FolderSource
from agent.errors import SourceError
from agent.privacy.quiet_log import withheld
from agent.records import Disposition, FileState, Frame, with_picture
from agent.sources.aftermath import Aftermath
from agent.sources.base import Clock, Sink, SystemClock
from agent.sources.depth_hint import DepthHint
from agent.sources.disposition import judged_sha256
from agent.sources.ledger import FileLedger
from agent.sources.path_text import to_text
from agent.sources.series import SeriesDesk
from agent.sources.series_gathering import WaitingSlice
from agent.sources.series_ledger import SeriesMemory
from agent.sources.settling import Settling, Stamp, list_folder
from fbclip.errors import ImageError, SkippedScan
from fbclip.images.decode_process import DecodeProcess, DecodingCancelled
from fbclip.images.header import MAX_BYTES
from fbclip.images.picture import Picture
from fbclip.images.scans.series_order import SliceHeader
from fbclip.images.scans.signs import is_dicom
from fbclip.images.window import DEFAULT_WINDOW, Window

log = logging.getLogger(__name__)
# A cut image may still be on its way over a slow line: so many settle times are waited before it counts as cut.
PATIENCE = 4
# Damage that may only be the part which has not arrived yet.
_UNFINISHED = frozenset({"truncated", "empty", "corrupt", "no_uid"})
_LOOK_S = 0.2


class _Changed(Exception):
    """The file was written to, replaced or taken away while it was read."""


@dataclass(frozen=True, eq=False)
class _Opened:
    """What a file holds, or the reason why it cannot be judged, or need not be; and the digest of its bytes.

    header: of a slice, which waits for its series.
    """

    picture: Picture | None
    reason: str | None
    sha256: str
    window: Window = DEFAULT_WINDOW
    skipped: bool = False
    header: SliceHeader | None = None


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
        self,
        line: str,
        section: FolderSource,
        sink: Sink,
        ledger: FileLedger,
        clock: Clock | None = None,
        decoder: DecodeProcess | None = None,
        window: Callable[[], Window] = lambda: DEFAULT_WINDOW,
        series: SeriesMemory | None = None,
    ) -> None:
        """`window`: the one of the line's profile, asked for each file, because the profile may be replaced.

        `series`: without it files are judged one by one, whatever `section` says.
        """
        self._line = line
        self._section = section
        self._sink = sink
        self._ledger = ledger
        self._clock = clock or SystemClock()
        self._seq = itertools.count(1)
        self._settling = Settling()
        self._decoder = decoder or DecodeProcess()
        self._window = window
        self._series: SeriesDesk | None = None
        if section.series_s is not None and series is not None:
            self._series = SeriesDesk(line, section, ledger, series, self._decoder, self._clock, window)
        self._depth = DepthHint(line)
        self._aftermath = Aftermath(line, (section.done_dir, section.failed_dir))
        self._ignored = 0
        self._skipped = Counter[str]()
        # Claimed here and not handed over, because the store failed in between.
        self._held: set[int] = set()
        self._handled: dict[Path, Stamp] = {}
        self._wake = threading.Event()
        self._observer: BaseObserver | None = None
        self._identity: tuple[int, int] | None = None
        self._unsettled = False
        self._health = "starting"
        self._problem: str | None = None

    @property
    def health(self) -> str:
        parts = [self._health]
        if self._ignored:
            parts.append(f"{self._ignored} side files ignored")
        if self._series is not None and len(self._series):
            parts.append(f"{len(self._series)} slices wait for their series")
        skipped = self._skipped if self._series is None else self._skipped + self._series.skipped
        if skipped:
            counts = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
            parts.append(f"skipped: {counts}")
        return ", ".join(parts)

    @property
    def problem(self) -> str | None:
        return self._problem

    def check(self) -> None:
        """Raises SourceError when the folder is missing or cannot be listed."""
        try:
            with os.scandir(self._section.path):
                pass
        except OSError as error:
            raise SourceError(f"line {self._line}: {withheld(str(self._section.path))}: {error.strerror}") from error

    def run(self, stop: threading.Event) -> None:
        """Look, hand over, wait; a folder that is missing is reported and looked for again."""
        try:
            while not stop.is_set():
                self.look(stop)
                self._wait(stop)
        finally:
            self._unwatch()
            self._decoder.close()
            self._health = "stopped"

    def look(self, stop: threading.Event) -> None:
        """One scan: hand over every file that stands still and was not judged before."""
        self._wake.clear()
        root = self._section.path
        try:
            info = root.stat()
            self._watch((info.st_dev, info.st_ino))
            self._aftermath.bring_back(self._clock.monotonic())
            listing = list_folder(root, self._section.recursive)
        except OSError as error:
            self._lost(error)
            return
        files, self._ignored = listing.files, listing.ignored
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
        if self._series is not None and not stop.is_set():
            self._offer_series(self._series, stop)

    def _offer_series(self, series: SeriesDesk, stop: threading.Event) -> None:
        """One that is complete; what came while the sink was full is looked at before the next one is."""
        if not self._can_decode(stop):
            return
        try:
            found = series.next_frame(stop)
        except OSError as error:
            self._report(f"a file cannot be read: {error.strerror}")
            return
        if found is None:
            return
        frame, slices = found
        if self._sink.put(replace(frame, seq=next(self._seq)), stop):
            series.handed_over(slices)
            for one in slices:
                self._aftermath.add(one.path, one.stamp, self._clock.monotonic())

    def _offer(self, path: Path, stamp: Stamp, still: float, stop: threading.Event) -> bool:  # noqa: PLR0911
        """True when nothing more is to be done with this file as it is now."""
        if not self._can_decode(stop):
            return False
        name = to_text(path)
        known = self._ledger.find(self._line, name, stamp.size, stamp.mtime_ns)
        if known is None or known.disposition is Disposition.FINISHED:
            # Judged and moved away before, and here again: a copy that kept its time is a new arrival.
            file_id = self._ledger.add_claimed(self._line, name, stamp.size, stamp.mtime_ns)
        elif known.id in self._held or (known.state is FileState.PENDING and self._ledger.claim(known.id)):
            file_id = known.id
        else:
            return True
        self._held.add(file_id)
        quarantined = known is not None and known.id == file_id and known.quarantined
        opened = self._refused(path, "quarantined") if quarantined else self._open(path, stamp, still, stop)
        if opened is None:
            self._ledger.release(file_id)
            self._held.discard(file_id)
            return False
        if opened.skipped:
            assert opened.reason is not None
            self._ledger.skip(file_id, opened.sha256, opened.reason)
            self._held.discard(file_id)
            self._skipped[opened.reason] += 1
            return True
        if opened.header is not None and self._series is not None:
            self._series.hold(WaitingSlice(file_id, path, name, stamp, opened.header))
            self._held.discard(file_id)
            return True
        self._ledger.opened(file_id, opened.sha256)
        self._held.discard(file_id)
        frame = Frame(
            line=self._line,
            seq=next(self._seq),
            ts=self._clock.now(),
            monotonic=self._clock.monotonic(),
            image=None,
            reason=opened.reason,
            path=name,
            sha256=opened.sha256,
            discrete=True,
            file_id=file_id,
            window=opened.window,
        )
        if opened.picture is not None:
            frame = with_picture(frame, opened.picture)
            self._depth.look(opened.picture, opened.window)
        if not self._sink.put(frame, stop):
            return False
        self._aftermath.add(path, stamp, self._clock.monotonic())
        return True

    def _can_decode(self, stop: threading.Event) -> bool:
        """Before a file is entered: starting the decoder takes longer than any file, and a file that is entered and not
        read is suspected of the agent's death."""
        try:
            self._decoder.make_ready(stop.is_set)
        except DecodingCancelled:
            return False
        except OSError as error:
            self._problem = f"no file can be read: {error.strerror}"
            self._report(self._problem)
            return False
        return True

    def _open(self, path: Path, stamp: Stamp, still: float, stop: threading.Event) -> _Opened | None:  # noqa: PLR0911
        """The file's image, or why it has none; None when it should be looked at again later."""
        try:
            data = self._read(path, stamp)
            window = self._window()
            header = self._decoder.header(data, stop.is_set) if self._series is not None and is_dicom(data) else None
            if header is not None:
                waits = header.fault in _UNFINISHED and still < PATIENCE * self._section.settle_s
                return None if waits else _Opened(None, None, header.sha256, window, header=header)
            picture = self._decoder.decode(data, stop.is_set, window)
            return _Opened(picture, None, hashlib.sha256(data).hexdigest(), window)
        except ImageError as error:
            if error.reason in _UNFINISHED and still < PATIENCE * self._section.settle_s:
                return None
            refused = self._refused(path, error.reason)
            return replace(refused, skipped=True) if refused and isinstance(error, SkippedScan) else refused
        except (_Changed, DecodingCancelled):
            return None
        except OSError as error:
            # Locked by its writer or without permission: not judged, and not forgotten.
            self._report(f"a file cannot be read: {error.strerror}")
            return None
        except Exception:
            # One file never stops a folder, whatever it does to the reader.
            log.exception("line %s: a file cannot be read", self._line)
            return self._refused(path, "reader_error")

    @staticmethod
    def _refused(path: Path, reason: str) -> _Opened | None:
        try:
            return _Opened(None, reason, judged_sha256(path))
        except OSError:
            return None

    @staticmethod
    def _read(path: Path, stamp: Stamp) -> bytes:
        """Exactly the bytes that stood still. Raises ImageError for a file that is not even read."""
        if stamp.size > MAX_BYTES:
            raise ImageError("too_large", f"more than {MAX_BYTES} bytes")
        # No link that took the file's place is followed, and no pipe is waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
            info = os.fstat(stream.fileno())
        if not stat.S_ISREG(info.st_mode) or Stamp(info.st_size, info.st_mtime_ns, info.st_ino) != stamp:
            raise _Changed
        return data

    def _wait(self, stop: threading.Event) -> None:
        """Until there is a hint, a file may have settled, or the next scan is due."""
        seconds = self._section.rescan_s
        if self._unsettled:
            seconds = min(seconds, max(self._section.settle_s / 2, 0.05))
        if self._series is not None and (due := self._series.seconds_to_due()) is not None:
            seconds = min(seconds, max(due, 0.05))
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
