"""Hours of ordinary work: memory, descriptors, threads and the database's log stay flat, judged by their slope."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.faults.invariants import check, check_counters
from tests.faults.processes import usage
from tests.faults.site import a_site

MB = 1 << 20
FILES_A_TURN = 4
TURN_S = 0.5
# The allocator and the database's cache fill up first.
WARM_SHARE = 1 / 3
# Of the resident memory that the last two thirds may gain as a whole, by the slope.
MOST_GAIN_MB = 24.0


@dataclass(frozen=True)
class Sample:
    """`at`: seconds since the start."""

    at: float
    resident_mb: float
    decoder_mb: float
    descriptors: int
    threads: int
    log_mb: float


def soak(folder: Path, seconds: float, tell: Callable[[str], None] = lambda _: None) -> str:
    """A camera and eight files a second for so long, the broker going away for a moment each minute."""
    samples: list[Sample] = []
    with a_site(folder, camera=True) as site:
        site.start()
        wal = site.store.with_name("agent.db-wal")
        began = time.monotonic()
        away_at = began + 30
        while (now := time.monotonic()) - began < seconds:
            site.drop(FILES_A_TURN)
            if now >= away_at:
                (site.broker.stop if site.broker.running else site.broker.start)()
                away_at = now + (5 if not site.broker.running else 55)
            found = usage(site.pid)
            log_mb = wal.stat().st_size / MB if wal.exists() else 0.0
            samples.append(
                Sample(now - began, found.resident / MB, found.children / MB, found.descriptors, found.threads, log_mb)
            )
            if len(samples) % 600 == 0:
                tell(f"{now - began:.0f} s: {samples[-1]}")
            assert site.process is not None
            site.process.join(TURN_S)
            check_counters(site)
        site.broker.start()
        site.settle(120)
        assert site.stop() == 0
        counts = check(site)
    warm = samples[int(len(samples) * WARM_SHARE) :]
    gain = slope(warm, "resident_mb") * (warm[-1].at - warm[0].at)
    assert gain < MOST_GAIN_MB, f"memory grows by {gain:.1f} MB"
    assert max(s.descriptors for s in warm) - min(s.descriptors for s in warm) <= 12, "descriptors grow"
    assert max(s.threads for s in warm) - min(s.threads for s in warm) <= 8, "threads grow"
    assert max(s.log_mb for s in warm) < 24, "the log of the database grows"
    hour = 3600 * slope(warm, "resident_mb")
    first, last = warm[0], warm[-1]
    memory = f"memory {first.resident_mb:.0f} to {last.resident_mb:.0f} MB (slope {hour:+.1f} MB/h)"
    decoder = f"decoder {first.decoder_mb:.0f} to {last.decoder_mb:.0f} MB"
    open_now = f"descriptors {first.descriptors} to {last.descriptors}, threads {first.threads} to {last.threads}"
    return (
        f"{seconds:.0f} s, {memory}, {decoder}, {open_now}, log at most {max(s.log_mb for s in warm):.1f} MB; {counts}"
    )


def slope(samples: list[Sample], name: str) -> float:
    """Of a straight line through them, a second."""
    at, values = [s.at for s in samples], [getattr(s, name) for s in samples]
    return float(np.polyfit(at, values, 1)[0])
