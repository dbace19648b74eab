"""The protocol's numbers as tables: both definitions side by side, what was published, and the paired differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from calibrate.evaluation.compare import COMPARED, LETTERS
from calibrate.evaluation.document import EvaluationDocument
from calibrate.evaluation.markdown import HEADS, comparison_text, number, table
from calibrate.evaluation.numbers import METRICS
from calibrate.paper.published import published_rows
from calibrate.paper.run import Definitions, PaperSet
from calibrate.statistics.intervals import CONFIDENCE

SHOWN = ("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro")
_HEAD_OF = dict(zip(METRICS, HEADS, strict=True))
PUBLISHED_NOTE = "Published by others, not measured here."


@dataclass(frozen=True)
class PaperTable:
    """title: empty for a set's first table; cells as they are shown, a row each, the first its name."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def paper_text(sets: Sequence[PaperSet], trained_on: str) -> str:
    """Markdown: `paper_lead`, and the tables of every set."""
    parts = [paper_lead(trained_on)]
    for one in sets:
        parts.append(f"## {one.name}")
        for found in (means(one), *published(one), *classes(one)):
            parts += [f"### {found.title}"] * bool(found.title) + [found.note] * bool(found.note)
            parts.append("\n".join(table(found.heads, found.rows)))
        if one.comparison is not None:
            parts += ["### Paired differences", comparison_text(one.comparison).rstrip()]
    return "\n\n".join(parts) + "\n"


def paper_lead(trained_on: str) -> str:
    """What the tables hold."""
    return (
        f"Tuned on the test split of {trained_on}. Each cell: exact / the paper's definition. Means are over the "
        "classes; of several seeds their mean ± standard deviation."
    )


def means(one: PaperSet) -> PaperTable:
    """A row a method."""
    rows = [[name, *(_cell(seeds, metric) for metric in SHOWN)] for name, seeds in one.rows.items()]
    return PaperTable("", ["method", *(_HEAD_OF[metric] for metric in SHOWN)], rows)


def published(one: PaperSet) -> Iterator[PaperTable]:
    """What others state of the same rows on this set, where they do."""
    found = published_rows(one.name, list(one.rows))
    if found:
        rows = [[row.row, *(number(getattr(row, metric)) for metric in SHOWN), row.source] for row in found]
        yield PaperTable(
            "Published", ["method", *(_HEAD_OF[metric] for metric in SHOWN), "source"], rows, PUBLISHED_NOTE
        )


def classes(one: PaperSet) -> Iterator[PaperTable]:
    """Of the first seed, where there are several."""
    first = {name: seeds[0] for name, seeds in one.rows.items()}
    names = list(next(iter(first.values()))[0].classes)
    if len(names) > 1:
        rows = [
            [c, name, *(_pair(exact.classes[c], paper.classes[c], metric) for metric in SHOWN)]
            for c in names
            for name, (exact, paper) in first.items()
        ]
        yield PaperTable("Classes", ["class", "method", *(_HEAD_OF[metric] for metric in SHOWN)], rows)


def differences(one: PaperSet) -> Iterator[PaperTable]:
    """Each row's means minus the first row's, by pairs of the same units."""
    if one.comparison is None:
        return
    names = dict(zip(LETTERS, one.rows, strict=False))
    rows = []
    for against in one.comparison.against:
        for metric in COMPARED:
            d = against.mean[metric]
            interval = "n/a" if d.low is None or d.high is None else f"{d.low:+.4f} to {d.high:+.4f}"
            value = "n/a" if d.difference is None else f"{d.difference:+.4f}"
            rows.append([names[against.letter], _HEAD_OF[metric], value, interval, d.sentence])
    heads = ["method", "metric", f"minus {names[LETTERS[0]]}", f"{CONFIDENCE:.0%} interval", ""]
    yield PaperTable("Paired differences", heads, rows, "Exact definition, first seed, by a bootstrap over units.")


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
