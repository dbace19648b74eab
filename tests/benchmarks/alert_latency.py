"""From a grabbed frame to the PUBACK of its alert, without the detector's share, against a real mosquitto on loopback.

Run by hand: `python -m tests.benchmarks.alert_latency [FILES]`. The whole agent with a tiny model in a process of its
own; files come one at a time, so that nothing waits for another.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import datetime
from pathlib import Path

import numpy as np

from tests.faults.site import a_site


def main(folder: Path, count: int) -> None:
    with a_site(folder) as site:
        site.start()
        site.drop(5)
        site.settle()
        for number in range(6, count + 6):
            site.drop(1)
            site.until(lambda wanted=number: len(site.ear.heard) >= 3 * wanted, "the alert to be heard")
        site.until(site.drained, "every PUBACK to be noted")
        assert site.stop() == 0
        rows = site.rows(
            "SELECT i.ts, o.sent, i.infer_ms, i.queue_ms FROM inspections i JOIN events e ON e.inspection_id = i.id"
            " JOIN outbox o ON json_extract(o.body, '$.event_id') = e.event_id"
            " WHERE json_extract(o.body, '$.type') = 'new' ORDER BY i.id"
        )[5:]
    # `sent` is when the row was marked, which is after its PUBACK.
    beyond = [1000 * (_time(sent) - _time(grabbed)) - infer for grabbed, sent, infer, _ in rows]
    heard = [1000 * (_time(sent) - _time(grabbed)) for grabbed, sent, _, _ in rows]
    for name, values in (("grabbed to marked as sent", heard), ("without the detector's share", beyond)):
        p50, p99 = np.percentile(values, (50, 99))
        print(f"{name:30} p50 {p50:6.1f}  p99 {p99:6.1f}  slowest {max(values):6.1f} ms ({len(values)} alerts)")  # noqa: T201


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name) / "site", int(sys.argv[1]) if len(sys.argv) > 1 else 200)
