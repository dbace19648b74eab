"""Few-shot curves as a table for people and as values for machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from calibrate.memory.fewshot import MEASURES, METHODS, Point

_HEADS = {
    "image": "AUROC of the picture's number",
    "pixel": "AUROC of the map's pixels",
}


def table(name: str, points: Sequence[Point], pictures: int) -> str:
    """Markdown: one row a number of pictures, mean and lowest..highest over the seeds; measures without values out."""
    counts = sorted({p.count for p in points})
    parts = [f"## {name}"]
    for measure in MEASURES:
        rows = []
        for count in counts:
            own = [p for p in points if p.count == count]
            cells = [_cell([p.values[method, measure] for p in own]) for method in METHODS]
            took = Counter(p.chosen for p in own)
            uses = ", ".join(f"{use} {times}" if len(own) > 1 else use for use, times in took.most_common())
            label = f"{count} (all)" if count == pictures else str(count)
            rows.append(f"| {label} | {len(own)} | {' | '.join(cells)} | {uses} |")
        if all("–" not in row for row in rows):
            head = f"| pictures | seeds | {' | '.join(METHODS)} | auto took |"
            rule = "|" + "---|" * (len(METHODS) + 3)
            parts.append("\n".join([f"{_HEADS[measure]}:", "", head, rule, *rows]))
    return "\n\n".join(parts) + "\n"


def average(curves: Mapping[str, Sequence[Point]]) -> str:
    """Markdown: means over several classes, each with the same weight; counts that all of them have."""
    counts = sorted(set.intersection(*({p.count for p in points} for points in curves.values())))
    parts = [f"## mean of {len(curves)}"]
    for measure in MEASURES:
        rows = []
        for count in counts:
            cells = []
            for method in METHODS:
                own = [_mean(points, count, method, measure) for points in curves.values()]
                known = [value for value in own if value is not None]
                cells.append(f"{np.mean(known):.3f}" if known else "–")
            rows.append(f"| {count} | {' | '.join(cells)} |")
        head, rule = f"| pictures | {' | '.join(METHODS)} |", "|" + "---|" * (len(METHODS) + 1)
        parts.append("\n".join([f"{_HEADS[measure]}:", "", head, rule, *rows]))
    return "\n\n".join(parts) + "\n"


def values(points: Sequence[Point]) -> list[dict[str, Any]]:
    """JSON: one object a memory."""
    return [
        {
            "pictures": p.count,
            "seed": p.seed,
            "chosen": p.chosen,
            "auroc": {method: {m: p.values[method, m] for m in MEASURES} for method in METHODS},
        }
        for p in points
    ]


def _mean(points: Sequence[Point], count: int, method: str, measure: str) -> float | None:
    found = [v for p in points if p.count == count and (v := p.values[method, measure]) is not None]
    return float(np.mean(found)) if found else None


def _cell(found: Sequence[float | None]) -> str:
    known = [value for value in found if value is not None]
    if not known:
        return "–"
    mean = f"{np.mean(known):.3f}"
    return mean if max(known) - min(known) < 0.0005 else f"{mean} ({min(known):.3f}..{max(known):.3f})"
