"""Every fault by its name, in two lengths: for each change of the code, and by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.faults import (
    artefacts,
    brokers,
    cameras,
    clocks,
    crashes,
    files,
    folders,
    idle,
    pairs,
    servers,
    soak,
    stores,
    threads,
)

Run = Callable[[Path], str]
"""In a folder that is not there yet; returns the counts, raises AssertionError where an invariant is broken."""


@dataclass(frozen=True)
class Lengths:
    """The same fault twice. `short` None: by hand only."""

    short: Run | None
    long: Run


CATALOG: Mapping[str, Lengths] = {
    "kill": Lengths(partial(crashes.kill, rounds=2), partial(crashes.kill, rounds=50)),
    "failpoints": Lengths(partial(crashes.failpoints, turns=(2,)), partial(crashes.failpoints, turns=(1, 2, 3, 5, 8))),
    "broker-away": Lengths(partial(brokers.away, alerts=200), partial(brokers.away, alerts=10_000)),
    "black-hole": Lengths(partial(brokers.black_hole, files=20), partial(brokers.black_hole, files=500)),
    "refused": Lengths(None, partial(brokers.refused, files=10)),
    "sudden": Lengths(partial(brokers.sudden, rounds=1), partial(brokers.sudden, rounds=20)),
    "full-disk": Lengths(partial(stores.full_disk, files=20), partial(stores.full_disk, files=200)),
    "corrupt-page": Lengths(
        partial(stores.corrupt_page, pages=1, files=40), partial(stores.corrupt_page, pages=20, files=60)
    ),
    "deleted": Lengths(partial(stores.deleted, rounds=1, files=40), partial(stores.deleted, rounds=20, files=60)),
    "locked": Lengths(partial(stores.locked, seconds=3, files=20), partial(stores.locked, seconds=60, files=60)),
    "clock": Lengths(partial(clocks.jump, rounds=1, files=10), partial(clocks.jump, rounds=10, files=40)),
    "threads": Lengths(
        partial(threads.broken, turns=(2,), parts=("sender",)), partial(threads.broken, turns=(1, 2, 3))
    ),
    "folder-gone": Lengths(partial(folders.gone, rounds=1), partial(folders.gone, rounds=20)),
    "folder-unmounted": Lengths(None, partial(folders.unmounted, rounds=5)),
    "fuzz-files": Lengths(partial(files.fuzz, count=300, seed=1), partial(files.fuzz, count=10_000, seed=2)),
    "flood": Lengths(partial(files.flood, count=120), partial(files.flood, count=40_000)),
    "fuzz-artefacts": Lengths(
        partial(artefacts.fuzz, count=500, seed=1), partial(artefacts.fuzz, count=10_000, seed=2)
    ),
    "camera": Lengths(partial(cameras.capture, rounds=1), partial(cameras.capture, rounds=20)),
    "triggers": Lengths(partial(cameras.storm, triggers=25), partial(cameras.storm, triggers=1000)),
    "two-agents": Lengths(partial(pairs.two, rounds=1, files=10), partial(pairs.two, rounds=20, files=20)),
    "server-killed": Lengths(partial(servers.killed, rounds=1, files=10), partial(servers.killed, rounds=10, files=40)),
    "server-cut": Lengths(partial(servers.cut, rounds=1, files=10), partial(servers.cut, rounds=10, files=40)),
    "idle": Lengths(partial(idle.connections, count=150), partial(idle.connections, count=450)),
    "soak": Lengths(None, partial(soak.soak, seconds=7200.0)),
}
