"""How the watch for drift does, as tables in Markdown: `python -m tests.benchmarks.drift_table [LINES] [UNITS]`.

All of it with the shipped bets. river and mapie judge streams of normal scores; their calls per line are slow, so they
see fewer lines.
"""

from __future__ import annotations

import sys

import numpy as np
from mapie.exchangeability_testing import OnlineMartingaleTest
from river.drift import ADWIN, PageHinkley

from agent.drift.e_process import rate_bound, shares
from tests.factories.drift import NEVER, TAILS, SimulatedLines, ramp_from, step_at

SIZES = (100, 299, 1000)
FALSE_ALARM = 0.01
CHANGED_LINES = 300
AT = 2000
WAIT = 3000
CHANGES = {
    "new lot, +0.5 σ": step_at(AT, 0.5),
    "new lot, +0.8 σ": step_at(AT, 0.8),
    "new lot, +1.5 σ": step_at(AT, 1.5),
    "camera moved, +3 σ": step_at(AT, 3.0),
    "lamp ages, 0.3 σ per 1,000 units": ramp_from(AT, 0.3),
    "lamp ages, 1 σ per 1,000 units": ramp_from(AT, 1.0),
}
OTHERS_LINES, OTHERS_UNITS = 20, 5000


def false_alarms(lines: int, units: int) -> list[str]:
    """A row a calibration size: lines with any false alarm in their life, and what the bounds are."""
    rows = []
    for n in SIZES:
        watched = SimulatedLines(lines, n, FALSE_ALARM, TAILS, np.random.default_rng(n))
        alarms = int((watched.found(units) != NEVER).sum())
        rows.append(f"| {n} | {watched.bound:.1%} | {alarms} of {lines} ({alarms / lines:.2%}) |")
    return rows


def delays() -> list[str]:
    """A row a change: share of lines in which it is found within WAIT units, and the delay of the median one."""
    rows = []
    for name, shift in CHANGES.items():
        cells = []
        for n in SIZES:
            watched = SimulatedLines(CHANGED_LINES, n, FALSE_ALARM, TAILS, np.random.default_rng(n + 7))
            found = watched.found(AT + WAIT, shift)
            after = found[found > AT] - AT
            median = f"{np.median(after):.0f}" if len(after) else "-"
            cells.append(f"{median} ({len(after) / CHANGED_LINES:.0%})")
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def others() -> list[str]:
    """river's ADWIN and Page-Hinkley, mapie's jumper martingale, on scores of lines calibrated on 299 units."""
    rng = np.random.default_rng(5)
    quiet = rng.standard_normal((OTHERS_LINES, 299 + OTHERS_UNITS))
    changed = quiet.copy()
    changed[:, 299 + AT :] += 0.8
    detectors = {
        f"river ADWIN, delta {FALSE_ALARM}": lambda row: _river(ADWIN(delta=FALSE_ALARM), row),
        "river Page-Hinkley, as it comes": lambda row: _river(PageHinkley(), row),
        f"mapie jumper martingale, level {FALSE_ALARM}": _mapie,
    }
    rows = []
    for name, first in detectors.items():
        false = sum(first(row) is not None for row in quiet)
        found = [at - AT for row in changed if (at := first(row)) is not None and at > AT]
        median = f"{np.median(found):.0f}" if found else "-"
        rows.append(f"| {name} | {false} of {OTHERS_LINES} | {median} ({len(found) / OTHERS_LINES:.0%}) |")
    return rows


def _river(detector: ADWIN | PageHinkley, row: np.ndarray) -> int | None:
    """The first alarm on units after the 299, which it has seen as well."""
    for i, z in enumerate(row):
        detector.update(float(z))
        if detector.drift_detected and i >= 299:
            return i - 298
    return None


def _mapie(row: np.ndarray) -> int | None:
    martingale = OnlineMartingaleTest(task="regression", test_level=FALSE_ALARM, warn=False, random_state=1)
    for i in range(299, len(row)):
        p = martingale.compute_p_value(float(row[i]), row[:i])
        if martingale.update_simple_jumper_martingale(p) >= martingale.reject_threshold:
            return i - 298
    return None


def main() -> None:
    given = sys.argv[1:3]
    lines, units = (int(a) for a in (*given, *("2000", "20000")[len(given) :]))
    doubt, enough = shares(FALSE_ALARM, TAILS)
    say = sys.stdout.write
    say(f"{TAILS} tails, false alarm {FALSE_ALARM:.0%}: doubt {doubt:.2%} each, e-value {enough:.0f}; ")
    say(f"bound at 299 units {rate_bound(60, 299, doubt):.1%}\n\n")
    say(f"| calibration units | highest rate allowed | lines with a false alarm in {units:,} units |\n|---|---|---|\n")
    say("\n".join(false_alarms(lines, units)) + "\n\n")
    say(f"| change at unit {AT:,} | {' | '.join(f'{n} units' for n in SIZES)} |\n|---|---|---|---|\n")
    say("\n".join(delays()) + "\n\n")
    say(f"| detector | false alarms in {OTHERS_UNITS:,} units | +0.8 σ at {AT:,}: delay (found) |\n|---|---|---|\n")
    say("\n".join(others()) + "\n")


if __name__ == "__main__":
    main()
