"""The protocol's numbers as Markdown: a table a set, both definitions side by side, and the paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

from calibrate.evaluation.document import EvaluationDocument
from calibrate.evaluation.markdown import HEADS, comparison_text, number, table
from calibrate.evaluation.numbers import METRICS
from calibrate.paper.run import Definitions, PaperSet

SHOWN = ("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro")
_HEAD_OF = dict(zip(METRICS, HEADS, strict=True))


def paper_text(sets: Sequence[PaperSet], trained_on: str) -> str:
    """Means over the classes, of several seeds their mean ± standard deviation; then the classes of the first seed."""
    parts = [f"Tuned on the test split of {trained_on}. Each cell: exact / the paper's definition."]
    for one in sets:
        heads = ["method", *(_HEAD_OF[metric] for metric in SHOWN)]
        rows = [[name, *(_cell(seeds, metric) for metric in SHOWN)] for name, seeds in one.rows.items()]
        parts += [f"## {one.name}", "\n".join(table(heads, rows)), *_classes(one)]
        if one.comparison is not None:
            parts += ["### Paired differences", comparison_text(one.comparison).rstrip()]
    return "\n\n".join(parts) + "\n"


def _classes(one: PaperSet) -> list[str]:
    first = {name: seeds[0] for name, seeds in one.rows.items()}
    names = list(next(iter(first.values()))[0].classes)
    if len(names) < 2:
        return []
    rows = [
        [c, name, *(_pair(exact.classes[c], paper.classes[c], metric) for metric in SHOWN)]
        for c in names
        for name, (exact, paper) in first.items()
    ]
    return ["### Classes", "\n".join(table(["class", "method", *(_HEAD_OF[metric] for metric in SHOWN)], rows))]


def _cell(seeds: Sequence[Definitions], metric: str) -> str:
    return " / ".join(_spread([one[k] for one in seeds], metric) for k in (0, 1))


def _spread(documents: Sequence[EvaluationDocument], metric: str) -> str:
    values = [getattr(document.mean, metric) for document in documents]
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return number(known[0] if known else None)
    return f"{fmean(known):.4f} ± {stdev(known):.4f}"


def _pair(exact: object, paper: object, metric: str) -> str:
    return f"{number(getattr(exact, metric))} / {number(getattr(paper, metric))}"
