"""A hot folder for series of scans, all of it real but the clock: ledger, decoder, judge, recorder, moves."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import select

from agent.config.line import LineSection
from agent.mqtt.payloads import Topics
from agent.pipeline.evidence import EvidenceWriter
from agent.pipeline.judge import Judge
from agent.pipeline.lines import Line
from agent.pipeline.messages import Messages
from agent.pipeline.moves import move_again
from agent.pipeline.recorder import Recorder
from agent.privacy.references import open_references
from agent.records import LineMode
from agent.sources.folder import Folder
from agent.sources.sinks import Tally
from agent.store.access import open_writer
from agent.store.ledger import Ledger
from agent.store.outbox import Outbox
from agent.store.schema import events, files, inspections
from agent.store.series_ledger import SeriesLedger
from agent.store.writer import Writer
from fbclip.artefacts.profile_file import LoadedProfile
from fbclip.detector import Detector
from fbclip.images.decode_process import DecodeProcess
from tests.factories.agent import FakeClock, KeepingObserver, KeepingSink
from tests.factories.lines import a_profile

QUIET_S = 10.0


class Ward:
    """`look` is one scan of the folder; what it hands over is judged, recorded and moved by `judge`."""

    def __init__(
        self,
        folder: Path,
        detector: Detector,
        decoder: DecodeProcess,
        run: str = "run-1",
        clock: Any = None,
        **changes: Any,
    ) -> None:
        self.folder, self.hot, self.run = folder, folder / "in", run
        self.done, self.failed = folder / "in.done", folder / "in.failed"
        self.hot.mkdir(exist_ok=True)
        profile = a_profile(detector, line="ct", window="percentile", **changes.pop("profile", {}))
        source = {"type": "folder", "path": self.hot, "settle_s": 1.0, "series_s": QUIET_S}
        section = LineSection(
            name="ct", source=source | changes.pop("source", {}), profile="p", mode=LineMode.LIVE, **changes
        )
        self.line = Line(section, next(iter(detector.smoothing)), LoadedProfile(profile))
        self.database = open_writer(f"sqlite:///{folder}/agent.db")
        self.references = open_references(folder)
        self.writer, self.ledger = Writer(self.database), Ledger(self.database)
        messages = Messages(Topics("fbclip", "a"), {"ct": LineMode.LIVE})
        self.writer.start_run(run, messages.of_end)
        self.unmoved = self.ledger.recover()
        self.tally, self.observer = Tally(), KeepingObserver()
        self.recorder = Recorder(
            lines={"ct": self.line}, tallies={"ct": self.tally}, writer=self.writer,
            evidence=EvidenceWriter(folder, run), messages=messages, observers=[self.observer], ok_every=1,
        )  # fmt: skip
        self.clock, self.sink, self.stop = clock or FakeClock(), KeepingSink(), threading.Event()
        self.sink.tally = self.tally
        self.judges = Judge(detector, {"ct": self.line}, run, self.clock.monotonic, self.references)
        series = SeriesLedger(self.database, self.references.of_series)
        self.source = Folder(
            "ct", section.source, self.sink, self.ledger, self.clock, decoder, lambda: self.line.window, series=series
        )
        self._seq = 0

    def close(self) -> None:
        self.source._watch.stop()
        self.database.close()

    def put(self, *datas: bytes, names: Any = None) -> list[Path]:
        """Files in the hot folder, named as they are counted unless told."""
        out = []
        for index, data in enumerate(datas):
            place = self.hot / (names[index] if names else f"IM{len(list(self.hot.iterdir())):04d}")
            place.parent.mkdir(exist_ok=True, parents=True)
            place.write_bytes(data)
            out.append(place)
        return out

    def look(self, seconds: float) -> int:
        """The number of frames that came after `seconds` more."""
        self.clock.time += seconds
        before = len(self.sink.frames)
        self.source.look(self.stop)
        return len(self.sink.frames) - before

    def settle(self) -> None:
        """Every file that is there is seen, and stands still."""
        assert self.look(0) == 0
        assert self.look(1) == 0

    def judge(self) -> list[Any]:
        """Judge, record and move what was handed over; returns the inspections."""
        out = []
        while self.sink.frames:
            self._seq += 1
            (judged,) = self.judges.judge([replace(self.sink.frames.pop(0), seq=self._seq)])
            assert self.recorder.record(judged, self.stop)
            out.append(judged.inspection)
        return out

    def move_again(self) -> None:
        move_again(self.writer, self.ledger.unmoved(), {"ct": self.line}, self.references)

    def rows(self, table: Any) -> list[Any]:
        with self.database.transaction() as connection:
            return list(connection.execute(select(table).order_by(table.c.id)))

    def files(self) -> list[Any]:
        return self.rows(files)

    def inspections(self) -> list[Any]:
        return self.rows(inspections)

    def events(self) -> list[Any]:
        return self.rows(events)

    def messages(self) -> list[Any]:
        return list(Outbox(self.database).pending(1000))

    def lying(self, folder: Path) -> list[str]:
        """Names of the files below a folder."""
        return sorted(path.name for path in folder.rglob("*") if path.is_file()) if folder.exists() else []
