"""The wall clock jumps a day ahead and a day back, with alerts waiting and events open."""

from __future__ import annotations

from pathlib import Path

from tests.faults.injections import Fault
from tests.faults.invariants import check, check_counters
from tests.faults.site import a_site

DAY_S = 86_400


def jump(folder: Path, rounds: int, files: int) -> str:
    """`rounds` times ahead, back behind the true time, and to it; each time before a batch of files."""
    clock = folder.with_name(f"{folder.name}.clock")
    clock.write_text("0", encoding="ascii")
    with a_site(folder, camera=True) as site:
        site.start(Fault(clock=clock))
        for turn in range(rounds):
            for offset in (DAY_S, -DAY_S, 0):
                site.broker.stop()
                clock.write_text(str(offset), encoding="ascii")
                site.drop(files)
                site.until(lambda: site.waiting() == 0, "files to be judged")
                if turn == rounds - 1:
                    clock.write_text(str(-offset), encoding="ascii")
                site.broker.start()
                site.until(lambda: site.ear.heard and site.drained(), "alerts to be heard", 90)
        days = site.number("SELECT count(DISTINCT substr(ts, 1, 10)) FROM inspections")
        assert days >= 3, "the clock did not jump"
        check_counters(site)
        assert site.stop() == 0
        return f"{3 * rounds} jumps, rows of {days} dates, {check(site)}"
