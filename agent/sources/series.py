"""Files of one series of scans -> one frame: gathered until the series is quiet, then read as one volume.

A slice that waits is pending in the ledger, so a restart gathers it again. A slice that comes after the verdict brings
the whole series back: what was judged is read where it lies now, and judged again with it.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from agent.config.source import FolderSource
from agent.records import SUPERSEDED, Frame, SeriesFile
from agent.sources.base import Clock
from agent.sources.ledger import FileLedger
from agent.sources.path_text import to_path
from agent.sources.sequence import natural_key
from agent.sources.series_files import GONE, SeriesChanged, SeriesFiles, collect_files, reader
from agent.sources.series_gathering import Gathering, WaitingSlice
from agent.sources.series_ledger import SeriesMemory
from fbclip.errors import ImageError
from fbclip.images.decode_process import DecodeProcess, DecodingCancelled
from fbclip.images.decode_series import decode_series
from fbclip.images.picture import Picture
from fbclip.images.scans.series_order import CONFLICT
from fbclip.images.window import Window

log = logging.getLogger(__name__)


class SeriesDesk:
    """Owned by the thread of one folder, like the decoder it shares with it."""

    def __init__(
        self,
        line: str,
        section: FolderSource,
        ledger: FileLedger,
        memory: SeriesMemory,
        decoder: DecodeProcess,
        clock: Clock,
        window: Callable[[], Window],
        skipped: Counter[str],
    ) -> None:
        """`skipped`: counts files by the reason for which they get no verdict."""
        assert section.series_s is not None
        self._line = line
        self._section = section
        self._ledger = ledger
        self._memory = memory
        self._decoder = decoder
        self._clock = clock
        self._window = window
        self._gathering = Gathering(section.series_s)
        # Claimed here and not handed over yet, perhaps because the store failed in between.
        self._mine: set[int] = set()
        self._skipped = skipped

    def __len__(self) -> int:
        return len(self._gathering)

    def seconds_to_due(self) -> float | None:
        """Until the next series is complete, as things stand; None where nothing waits."""
        return self._gathering.seconds_to_due(self._clock.monotonic())

    def hold(self, one: WaitingSlice) -> None:
        """A claimed file, whose header was read, waits for its series. Raises StoreError."""
        self._memory.hold(one.file_id, self._line, one.header.series, one.header.sha256)
        replaced = self._gathering.add(one, self._clock.monotonic())
        if replaced is not None:
            self._skip(replaced, "changed")

    def next_frame(self, stop: threading.Event) -> tuple[Frame, tuple[WaitingSlice, ...]] | None:
        """The series that is due, as a frame, and the files that are new in it; None where none can be judged now.

        `handed_over` is to be called once a sink has it. Raises StoreError; OSError where a file cannot be read.
        """
        waiting = self._gathering.due(self._clock.monotonic())
        if not waiting:
            return None
        series = waiting[0].header.series
        self._claim([one.file_id for one in waiting])
        # A file that another folder has claimed is let go; one that is gone may have lost its row too, and is missed.
        left = [one for one in waiting if one.file_id not in self._mine and one.path.exists()]
        for one in left:
            self._gathering.remove(one)
        waiting = tuple(one for one in waiting if one not in left)
        try:
            frame = self._frame(series, waiting, stop)
        except (SeriesChanged, DecodingCancelled, OSError) as error:
            self._let_go(one.file_id for one in waiting)
            self._gathering.wait_on(series, self._clock.monotonic())
            if isinstance(error, OSError):
                raise
            return None
        if frame is None:
            return None
        new = {file.id for file in frame.series if not file.was_judged}
        return frame, tuple(one for one in waiting if one.file_id in new)

    def handed_over(self, slices: Sequence[WaitingSlice]) -> None:
        """The sink has them: they wait for their verdict and no longer for each other."""
        for one in slices:
            self._mine.discard(one.file_id)
            self._gathering.remove(one)

    def _frame(self, series: str, waiting: Sequence[WaitingSlice], stop: threading.Event) -> Frame | None:
        found = collect_files(self._section, waiting, self._memory.earlier(self._line, series), stop.is_set)
        for one, reason in found.skipped:
            self._skip(one, reason)
        if found.changed:
            # The version that lies there now is on its way here.
            raise SeriesChanged
        if all(file.reason == GONE for file in found.new):
            # Duplicates only, or whoever put the slices there has taken all of them away again.
            for one in waiting:
                if not any(one is skipped for skipped, _ in found.skipped):
                    self._skip(one, GONE)
            return None
        window = self._window()
        volume: Picture | None = None
        files, reason = found.files, ""
        try:
            volume, files = self._volume(found.files, window, stop)
        except ImageError as error:
            reason = error.reason
        first = found.new[0]
        return Frame(
            line=self._line,
            seq=1,
            ts=self._clock.now(),
            monotonic=self._clock.monotonic(),
            image=None,
            reason=reason or None,
            path=first.path,
            sha256=first.sha256,
            discrete=True,
            file_id=first.id,
            context=_context(found, files),
            volume=volume,
            window=window,
            series=files,
        )

    def _volume(
        self, files: Sequence[SeriesFile], window: Window, stop: threading.Event
    ) -> tuple[Picture, tuple[SeriesFile, ...]]:
        """The volume, its slices naming their places in `files`, which are told what each of them lacks."""
        # Of two with one identifier the first counts.
        there = sorted(
            (index for index, file in enumerate(files) if file.reason is None),
            key=lambda index: not files[index].chosen,
        )
        if not there:
            raise ImageError(files[0].reason or "gone", "no slice of the series is there")
        places = [to_path(files[index].path) for index in there]
        by_name = sorted(range(len(there)), key=lambda i: (natural_key(places[i].name), str(places[i])))
        ranks = [0] * len(there)
        for rank, index in enumerate(by_name):
            ranks[index] = rank
        picture = decode_series(self._decoder, [reader(files[index]) for index in there], ranks, stop.is_set, window)
        return _placed(picture, files, there)

    def _skip(self, one: WaitingSlice, reason: str) -> None:
        self._ledger.skip(one.file_id, one.header.sha256, reason)
        self._mine.discard(one.file_id)
        self._gathering.remove(one)
        self._skipped[reason] += 1

    def _claim(self, file_ids: Collection[int]) -> None:
        self._mine |= self._memory.claim(set(file_ids) - self._mine)

    def _let_go(self, file_ids: Iterable[int]) -> None:
        mine = self._mine & set(file_ids)
        self._memory.release(mine)
        self._mine -= mine


def _placed(
    picture: Picture, files: Sequence[SeriesFile], there: Sequence[int]
) -> tuple[Picture, tuple[SeriesFile, ...]]:
    scan = picture.scan
    assert scan is not None and scan.files is not None
    slices = [one.model_copy(update={"file": there[one.file]}) for one in scan.slices if one.file is not None]
    faults = {there[fault.file]: fault.reason for fault in scan.files.faults}
    for fault in scan.files.faults:
        loser, winner = files[there[fault.file]], None if fault.instead is None else files[there[fault.instead]]
        if fault.reason == CONFLICT and winner is not None and winner.chosen and not loser.chosen:
            faults[there[fault.file]] = SUPERSEDED
    named = tuple(replace(file, reason=faults.get(index, file.reason)) for index, file in enumerate(files))
    return Picture(picture.pixels, scan.model_copy(update={"slices": tuple(slices)})), named


def _context(found: SeriesFiles, files: Sequence[SeriesFile]) -> dict[str, object]:
    """What an inspection says of the files: numbers and fixed words, no name and no identifier."""
    faults = Counter(file.reason for file in files if file.reason is not None)
    out: dict[str, object] = {"files": len(files)}
    if faults:
        out["faults"] = dict(sorted(faults.items()))
    if found.judged_before is not None:
        out["judged_before"] = found.judged_before
    return out
