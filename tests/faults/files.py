"""Thousands of files through a hot folder, damaged or all at once: each gets its row, memory and time stay bounded."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path

from agent.commands.options import ReconcileRequest
from agent.commands.reconcile import reconcile_command
from tests.faults.images import fuzzed
from tests.faults.invariants import check, check_counters
from tests.faults.processes import usage
from tests.faults.site import a_site

MB = 1 << 20
BLOCK = 200
# Limits of the decoder's process are 2 GiB beyond itself, and 20 s an image.
MOST_AGENT_MB = 1500
MOST_DECODER_MB = 2600
SECONDS_A_FILE = 1.0


def fuzz(folder: Path, count: int, seed: int) -> str:
    """`count` files that are cut, flipped, mislabelled, lying, or bombs."""
    with a_site(folder) as site:
        site.start()
        files = fuzzed(seed, count)
        agent_mb = decoder_mb = 0.0
        began = time.monotonic()

        def judged() -> bool:
            nonlocal agent_mb, decoder_mb
            now = usage(site.pid)
            agent_mb, decoder_mb = max(agent_mb, now.resident / MB), max(decoder_mb, now.children / MB)
            return site.waiting() == 0

        while block := list(islice(files, BLOCK)):
            for name, data in block:
                site.drop_bytes(name, data)
            site.until(judged, "damaged files to be judged", 60 + SECONDS_A_FILE * BLOCK)
        seconds = time.monotonic() - began
        site.settle(120)
        check_counters(site, at_rest=True)
        assert site.stop() == 0
        assert agent_mb < MOST_AGENT_MB and decoder_mb < MOST_DECODER_MB
        reasons = site.rows("SELECT coalesce(reason, verdict), count(*) FROM inspections GROUP BY 1 ORDER BY 2 DESC")
        told = ", ".join(f"{count} {reason}" for reason, count in reasons)
        took = f"{seconds:.0f} s, agent up to {agent_mb:.0f} MB, its decoder up to {decoder_mb:.0f} MB"
        return f"{check(site)}; {told}; {took}"


def flood(folder: Path, count: int) -> str:
    """Half of the files lie there at the start, half come at once while it judges: each is judged exactly once."""
    with a_site(folder) as site:
        site.drop(count // 2)
        began = time.monotonic()
        site.start()
        site.drop(count - count // 2)
        site.settle(60 + SECONDS_A_FILE * count)
        seconds = time.monotonic() - began
        check_counters(site, at_rest=True)
        assert reconcile_command(ReconcileRequest(site.config)) == 0
        assert site.stop() == 0
        return f"{check(site)}; {count / seconds:.0f} files a second"
