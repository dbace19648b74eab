"""One file that stands still -> entered in the ledger, opened, and handed over as a frame, or skipped."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from pathlib import Path

from agent.config.source import FolderSource
from agent.records import Disposition, FileState, Frame, with_picture
from agent.sources.base import Clock, Sink
from agent.sources.depth_hint import DepthHint
from agent.sources.file_reader import FileReader, OpenedFile, refuse
from agent.sources.ledger import FileLedger
from agent.sources.path_text import to_text
from agent.sources.series import SeriesDesk
from agent.sources.series_gathering import WaitingSlice
from agent.sources.series_ledger import SeriesMemory
from agent.sources.settling import Stamp
from fbclip.images.decode_process import DecodeProcess
from fbclip.images.window import Window

# A cut image may still be on its way over a slow line: so many settle times are waited before it counts as cut.
PATIENCE = 4


class FileTaken(Enum):
    """What became of a file as it is now. LATER: look again; KNOWN: nothing is to be done; JUDGED: it is on its way."""

    LATER = 0
    KNOWN = 1
    JUDGED = 2


class FileIntake:
    """Owned by one thread. `skipped` counts files by the reason for which they get no verdict."""

    def __init__(
        self,
        line: str,
        section: FolderSource,
        sink: Sink,
        ledger: FileLedger,
        clock: Clock,
        decoder: DecodeProcess,
        window: Callable[[], Window],
        series: SeriesMemory | None = None,
    ) -> None:
        """`series`: see `Folder`."""
        self._line = line
        self._section = section
        self._sink = sink
        self._ledger = ledger
        self._clock = clock
        self._series: SeriesDesk | None = None
        self.skipped = Counter[str]()
        if section.series_s is not None and series is not None:
            self._series = SeriesDesk(line, section, ledger, series, decoder, clock, window, self.skipped)
        self._reader = FileReader(line, decoder, window, by_series=self._series is not None)
        self._depth = DepthHint(line)
        self._seq = itertools.count(1)
        # Claimed here and not handed over, because the store failed in between.
        self._held: set[int] = set()

    @property
    def problem(self) -> str | None:
        """Why no file can be read; None while they can."""
        return self._reader.problem

    @property
    def waiting(self) -> int:
        """Slices that wait for the rest of their series."""
        return 0 if self._series is None else len(self._series)

    def seconds_to_series(self) -> float | None:
        """Until the next series is complete, as things stand; None where none waits."""
        return None if self._series is None else self._series.seconds_to_due()

    def close(self) -> None:
        """End the decoder's process."""
        self._reader.close()

    def take(self, path: Path, stamp: Stamp, still: float, stop: threading.Event) -> FileTaken:
        """`still`: for how many seconds it has not changed. Raises OSError where it cannot be read, StoreError."""
        if not self._reader.make_ready(stop.is_set):
            return FileTaken.LATER
        name = to_text(path)
        known = self._ledger.find(self._line, name, stamp.size, stamp.mtime_ns)
        if known is None or known.disposition is Disposition.FINISHED:
            # Judged and moved away before, and here again: a copy that kept its time is a new arrival.
            added = self._ledger.add_claimed(self._line, name, stamp.size, stamp.mtime_ns)
            if added is None:
                return FileTaken.LATER
            file_id = added
        elif known.id in self._held or (known.state is FileState.PENDING and self._ledger.claim(known.id)):
            file_id = known.id
        else:
            return FileTaken.KNOWN
        self._held.add(file_id)
        quarantined = known is not None and known.id == file_id and known.quarantined
        opened = None
        try:
            opened = refuse(path, "quarantined") if quarantined else self._open(path, stamp, still, file_id, stop)
        finally:
            if opened is None:
                self._ledger.release(file_id)
                self._held.discard(file_id)
        return FileTaken.LATER if opened is None else self._hand_over(path, stamp, file_id, opened, stop)

    def take_series(self, stop: threading.Event) -> tuple[WaitingSlice, ...]:
        """Hand over the series that is complete, if one is; returns its files. Raises OSError, StoreError."""
        if self._series is None or not self._reader.make_ready(stop.is_set):
            return ()
        found = self._series.next_frame(stop)
        if found is None:
            return ()
        frame, slices = found
        if not self._sink.put(replace(frame, seq=next(self._seq)), stop):
            return ()
        self._series.handed_over(slices)
        return slices

    def _open(self, path: Path, stamp: Stamp, still: float, file_id: int, stop: threading.Event) -> OpenedFile | None:
        patient = still < PATIENCE * self._section.settle_s

        def seen(sha256: str) -> bool:
            once = self._section.judge == "content"
            return once and self._ledger.has_content(self._line, sha256, file_id)

        return self._reader.open(path, stamp, patient, stop.is_set, seen)

    def _hand_over(
        self, path: Path, stamp: Stamp, file_id: int, opened: OpenedFile, stop: threading.Event
    ) -> FileTaken:
        """A file that was read: skipped, or a frame for the pipeline, or a slice that waits for its series."""
        if opened.skipped:
            assert opened.reason is not None
            self._ledger.skip(file_id, opened.sha256, opened.reason)
            self._held.discard(file_id)
            self.skipped[opened.reason] += 1
            return FileTaken.KNOWN
        if opened.header is not None and self._series is not None:
            self._series.hold(WaitingSlice(file_id, path, to_text(path), stamp, opened.header))
            self._held.discard(file_id)
            return FileTaken.KNOWN
        self._ledger.opened(file_id, opened.sha256)
        self._held.discard(file_id)
        if self._sink.put(self._frame(path, file_id, opened), stop):
            return FileTaken.JUDGED
        # The line ends before the sink has room: whoever goes on finds it waiting.
        self._ledger.release(file_id)
        return FileTaken.LATER

    def _frame(self, path: Path, file_id: int, opened: OpenedFile) -> Frame:
        """One settled file as one frame."""
        frame = Frame(
            line=self._line,
            seq=next(self._seq),
            ts=self._clock.now(),
            monotonic=self._clock.monotonic(),
            image=None,
            reason=opened.reason,
            path=to_text(path),
            sha256=opened.sha256,
            discrete=True,
            file_id=file_id,
            window=opened.window,
        )
        if opened.picture is None:
            return frame
        self._depth.look(opened.picture, opened.window)
        return with_picture(frame, opened.picture)
