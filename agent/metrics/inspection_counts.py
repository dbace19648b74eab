"""Stored inspections, counted since the start: by line, verdict and reason, with how long they took."""

from __future__ import annotations

import bisect
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.pipeline.judged import Judged

OTHER = "other"
_WORDS = """
none camera_lost no_profile non_finite black overexposed flat frozen moved dimmed too_bright blurred
corrupt truncated empty not_an_image unreadable missing too_large too_small decode_timeout decoder_died
multi_page several_slices no_transfer_syntax no_uid no_window wrong_window wrong_size wrong_depth unsupported_depth
unsupported_dicom unsupported_jpeg unsupported_nifti unsupported_tiff quarantined gone no_picture detector_error
nothing_to_judge busy timeout line_off line_unavailable shutdown
replaced stale collected store_error taken_over not_triggered after_pause lost
"""
REASONS = frozenset(_WORDS.split())
"""Every other one is `other`: labels must not grow with what comes from outside."""
BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def bounded_reason(reason: str | None) -> str:
    """A label of the fixed list."""
    if reason is None:
        return "none"
    return reason if reason in REASONS else OTHER


@dataclass(frozen=True)
class LineFigures:
    """Of one line. verdicts: by verdict and reason; slower: how many took longer than each bucket's end and no longer
    than the next; z and threshold of the last judged image."""

    verdicts: Mapping[tuple[str, str], int]
    slower: tuple[int, ...]
    seconds: float
    z: float | None
    threshold: float | None


@dataclass
class _Tally:
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    slower: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    seconds: float = 0.0
    z: float | None = None
    threshold: float | None = None


class InspectionCounts:
    """A witness of the recorder's; any thread may look."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[str, _Tally] = {}

    def recorded(self, judged: Judged) -> None:
        inspection, decision = judged.inspection, judged.inspection.decision
        seconds = max(0.0, inspection.latency.total / 1e3)
        with self._lock:
            tally = self._lines.setdefault(inspection.line, _Tally())
            tally.verdicts[decision.verdict.value, bounded_reason(decision.reason)] += 1
            tally.slower[bisect.bisect_left(BUCKETS_S, seconds)] += 1
            tally.seconds += seconds
            tally.z, tally.threshold = decision.z, decision.threshold

    def figures(self) -> dict[str, LineFigures]:
        """A copy, by line."""
        with self._lock:
            return {
                name: LineFigures(dict(t.verdicts), tuple(t.slower), t.seconds, t.z, t.threshold)
                for name, t in self._lines.items()
            }
