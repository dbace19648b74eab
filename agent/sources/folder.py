"""A hot folder: every file that has come to rest is judged once.

The ledger in the database is the memory; what the file system tells is only a hint to look now, because such hints get
lost. The folder is read in full at the start and then at least every `rescan_s`. No file is trusted: it is entered in
the ledger before it is opened, and decoded in a process of its own.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.config.source import FolderSource
from agent.errors import SourceError
from agent.privacy.quiet_log import withheld
from agent.sources.aftermath import Aftermath
from agent.sources.base import Clock, Sink, SystemClock
from agent.sources.file_intake import FileIntake, FileTaken
from agent.sources.folder_filter import FolderFilter
from agent.sources.folder_lock import FolderLocks
from agent.sources.folder_root import FolderRoot
from agent.sources.folder_watch import FolderWatch
from agent.sources.ledger import FileLedger
from agent.sources.mounts import MountMemory
from agent.sources.series_ledger import SeriesMemory
from agent.sources.settling import Settling, Stamp, list_folder
from fbclip.images.decode_process import DecodeProcess
from fbclip.images.window import DEFAULT_WINDOW, Window

log = logging.getLogger(__name__)
# How often a folder is looked for that is not there, and one of which no hints come is listed.
RETRY_S = 1.0
# Listing a large folder, and finding what is new in it, may take no more than this share of the time.
LISTING_SHARE = 0.1
# A file that stands still and cannot be read for so long is told of: nobody else knows that it is not judged.
UNREADABLE_S = 30.0
_LOOK_S = 0.05


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
        locks: FolderLocks | None = None,
        series: SeriesMemory | None = None,
        mounts: MountMemory | None = None,
    ) -> None:
        """`window`: the one of the line's profile. `locks`: None for who takes no file away. `series`: without it files
        are judged one by one, whatever `section` says. `mounts`: see `FolderRoot`."""
        self._line = line
        self._section = section
        self._ledger = ledger
        self._clock = clock or SystemClock()
        self._wake = threading.Event()
        self._root = FolderRoot(line, section, locks, mounts)
        self._watch = FolderWatch(line, section, self._wake)
        self._filter = FolderFilter(section.include, section.ignore)
        self._settling = Settling()
        decoder = decoder or DecodeProcess()
        self._intake = FileIntake(line, section, sink, ledger, self._clock, decoder, window, series)
        self._aftermath = Aftermath(line, section)
        self._ignored = 0
        self._handled: dict[Path, Stamp] = {}
        self._revision = ledger.revision
        self._pause = 0.0
        self._health = "starting"
        self._lost: str | None = None
        self._obstacle: str | None = None
        self._unreadable: tuple[int, str] = (0, "")

    @property
    def health(self) -> str:
        parts = [self._health]
        if self._ignored:
            parts.append(f"{self._ignored} side files ignored")
        if self._intake.waiting:
            parts.append(f"{self._intake.waiting} slices wait for their series")
        if self._intake.skipped:
            counts = ", ".join(f"{count} {reason}" for reason, count in sorted(self._intake.skipped.items()))
            parts.append(f"skipped: {counts}")
        return ", ".join(parts)

    @property
    def problem(self) -> str | None:
        count, why = self._unreadable
        unreadable = f"{count} files cannot be read: {why}" if count else None
        return self._lost or self._intake.problem or self._obstacle or unreadable

    @property
    def unavailable(self) -> bool:
        """The folder is not there, not the line's, or its files cannot leave it."""
        return self._lost is not None or self._obstacle is not None

    def check(self) -> None:
        """Raises SourceError when the folder is missing, not mounted or not to be listed, or its files cannot leave."""
        where = f"line {self._line}: {withheld(str(self._section.path))}"
        try:
            with os.scandir(self._section.path):
                pass
            self._root.check_mount()
        except OSError as error:
            raise SourceError(f"{where}: {error.strerror}") from error
        except SourceError as error:
            raise SourceError(f"{where}: {error}") from error
        if why := self._root.obstacle():
            raise SourceError(f"{where}: {why}")

    def run(self, stop: threading.Event) -> None:
        """Look, hand over, wait; a folder that is missing is reported and looked for again."""
        try:
            while not stop.is_set():
                self.look(stop)
                self._wait(stop)
        finally:
            self._watch.stop()
            self._root.leave()
            self._intake.close()
            self._health = "stopped"

    def look(self, stop: threading.Event) -> None:
        """One scan: hand over every file that stands still and was not judged before."""
        self._wake.clear()
        began = self._clock.monotonic()
        files = self._list(began, stop)
        if files is None:
            self._pause = RETRY_S
            return
        self._forget(files)
        fresh = {path: stamp for path, stamp in files.items() if path not in self._handled}
        self._settling.observe(fresh, began)
        listing_s = self._clock.monotonic() - began
        in_time = self._offer_all(fresh, stop, max(self._section.rescan_s, listing_s / LISTING_SHARE))
        if in_time and not stop.is_set():
            self._offer_series(stop)
        unsettled = any(path not in self._handled for path in fresh)
        self._pause = self._pause_after(listing_s, unsettled) if in_time else 0.0

    def _offer_all(self, fresh: Mapping[Path, Stamp], stop: threading.Event, seconds: float) -> bool:
        """Every file that stands still, oldest first; false where the next scan is due, after `seconds`, before all had
        their turn: many files at once must not keep what arrives, or goes, from being seen."""
        due = self._clock.monotonic() + seconds
        unreadable: list[str] = []
        in_time = True
        for path, stamp in sorted(fresh.items(), key=lambda item: (item[1].mtime_ns, item[0])):
            if stop.is_set() or not in_time:
                break
            still = self._settling.still_for(path, self._clock.monotonic())
            if still < self._section.settle_s:
                continue
            try:
                taken = self._intake.take(path, stamp, still, stop)
                if taken is not FileTaken.LATER:
                    self._handled[path] = stamp
                if taken is FileTaken.JUDGED:
                    self._aftermath.add(path, stamp, self._clock.monotonic())
            except FileNotFoundError:
                # Taken away; or all of them are, with their folder.
                in_time = not self._root.changed()
            except OSError as error:
                # Locked by its writer or without permission: not judged, and not forgotten.
                if still >= UNREADABLE_S:
                    unreadable.append(error.strerror or type(error).__name__)
            in_time = in_time and self._clock.monotonic() < due
        self._unreadable = len(unreadable), unreadable[-1] if unreadable else ""
        return in_time

    def _offer_series(self, stop: threading.Event) -> None:
        """One that is complete; what came while the sink was full is looked at before the next one is."""
        try:
            slices = self._intake.take_series(stop)
        except OSError as error:
            self._unreadable = 1, error.strerror or type(error).__name__
            return
        for one in slices:
            self._aftermath.add(one.path, one.stamp, self._clock.monotonic())

    def _list(self, now: float, stop: threading.Event) -> dict[Path, Stamp] | None:
        """The files that may be images; None where the folder cannot be used, which is reported."""
        try:
            self._watch.follow(self._root.look(), self._root.mount, now)
            self._aftermath.bring_back(now)
            # Whoever asks whether to stop shows that it is not hanging.
            listing = list_folder(self._section.path, self._section.recursive, stop.is_set)
        except (OSError, SourceError) as error:
            self._lose(f"folder cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error))
            return None
        self._lost, self._obstacle = None, self._root.obstacle()
        self._report(self._watch.way)
        files = {path: stamp for path, stamp in listing.files.items() if self._filter.takes(self._inner(path))}
        self._ignored = listing.ignored + len(listing.files) - len(files)
        return files

    def _inner(self, path: Path) -> Path:
        return path.relative_to(self._section.path)

    def _forget(self, files: dict[Path, Stamp]) -> None:
        """What has gone or changed is new when it is there again, and so is what an operator wants judged again."""
        revision = self._ledger.revision
        if revision != self._revision:
            self._revision, self._handled = revision, {}
        self._handled = {path: stamp for path, stamp in self._handled.items() if files.get(path) == stamp}

    def _pause_after(self, listing_s: float, unsettled: bool) -> float:
        """Until the next scan is due without a hint; `listing_s`: what the last one took."""
        section = self._section
        seconds = section.rescan_s
        if not self._watch.hears:
            seconds = min(seconds, max(RETRY_S, listing_s / LISTING_SHARE))
        if unsettled:
            seconds = min(seconds, max(section.settle_s / 2, _LOOK_S, listing_s / LISTING_SHARE))
        due = self._intake.seconds_to_series()
        return seconds if due is None else min(seconds, max(due, _LOOK_S))

    def _wait(self, stop: threading.Event) -> None:
        """Until there is a hint, a file may have settled, the next scan is due, or the folder is not the same."""
        until = self._clock.monotonic() + self._pause
        checked = self._clock.monotonic()
        while not stop.is_set() and (left := until - self._clock.monotonic()) > 0:
            if self._clock.monotonic() - checked >= RETRY_S:
                checked = self._clock.monotonic()
                if self._root.changed() or self._ledger.revision != self._revision:
                    return
            if self._clock.wait(self._wake, min(left, _LOOK_S * 4)):
                # Events of one file come in bursts: one scan serves them all.
                self._clock.wait(stop, min(left, _LOOK_S))
                return

    def _lose(self, why: str) -> None:
        self._watch.stop()
        self._root.leave()
        self._lost, self._obstacle, self._unreadable = why, None, (0, "")
        self._report(why)

    def _report(self, health: str) -> None:
        if health != self._health:
            log.info("line %s: %s", self._line, health)
        self._health = health
