"""A summary as people read it."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from calibrate.datasets.summary import Summary

MAX_LINES = 20


def summary_text(summary: Summary) -> str:
    """Plain text: a table of the classes, sizes, and the first MAX_LINES of each list of faults."""
    table = Table("class", "split", "good", "defective", "unlabelled", "units", "masks", "kinds")
    for one in summary.classes:
        for row, (split, counts) in enumerate(one.counts.items()):
            # Units, masks and kinds are of the class as a whole: once, in its first row.
            kinds = ", ".join(f"{kind} {n}" for kind, n in one.kinds.items())
            whole = ("", "", "", "") if row else (one.name, str(one.units), str(one.masks), kinds)
            table.add_row(whole[0], split, *(str(n) for n in counts.values()), *whole[1:])
    lines = [f"{summary.root}: {summary.pictures} images, layout {summary.layout}", _plain(table)]
    if summary.sizes is not None:
        s = summary.sizes
        small, middle, large = (f"{w}x{h}" for w, h in (s.smallest, s.median, s.largest))
        lines.append(f"sizes: {small} to {large}, median {middle}, {s.distinct} different")
    lines.append(f"copies left out: {summary.copies}")
    lines += _section("train and test share images or units", summary.leakage)
    lines += _section("same bytes, two labels", summary.two_labels)
    lines += _section("masks of another size", summary.mask_sizes)
    lines += _section("unreadable", summary.unreadable)
    lines += _section("notes", summary.notes)
    lines.append("usable" if summary.usable else "NOT USABLE as it is")
    return "\n".join(lines)


def _plain(table: Table) -> str:
    # Names of files and classes may hold brackets, which rich would take for markup.
    text = io.StringIO()
    Console(file=text, width=120, markup=False, emoji=False, highlight=False).print(table)
    return text.getvalue().rstrip()


def _section(title: str, faults: Sequence[str]) -> list[str]:
    if not faults:
        return []
    rest = [f"  ... and {len(faults) - MAX_LINES} more; --json lists all"] if len(faults) > MAX_LINES else []
    return [f"{title}: {len(faults)}", *(f"  {line}" for line in faults[:MAX_LINES]), *rest]
