"""Frames of all lines -> the next batch for the detector, lines taking turns."""

from __future__ import annotations

import threading

from agent.records import Frame
from agent.sources.base import Sink


class Intake:
    """Sinks call `notify` after each frame; one thread takes batches."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._sinks: list[Sink] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()

    def add(self, sink: Sink) -> None:
        """From any thread; a sink that is there already stays once."""
        with self._lock:
            self._sinks = [*(other for other in self._sinks if other is not sink), sink]

    def notify(self) -> None:
        """There may be something to take."""
        self._wake.set()

    def next_batch(self, timeout: float) -> list[Frame]:
        """Up to `batch` frames, one a line in each round; empty when none came within `timeout` seconds."""
        if not self._wake.wait(timeout):
            return []
        self._wake.clear()
        frames: list[Frame] = []
        sinks = self._sinks
        while len(frames) < self._batch:
            before = len(frames)
            for sink in sinks:
                frame = sink.get(0) if len(frames) < self._batch else None
                if frame is not None:
                    frames.append(frame)
            if len(frames) == before:
                break
        else:
            # The batch is full, so more may be waiting: look again without a new notice.
            self._wake.set()
        # The line that was first is last next time; with a full batch nobody starves.
        with self._lock:
            self._sinks = self._sinks[1:] + self._sinks[:1]
        return frames
