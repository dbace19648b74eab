"""summary.md: the numbers as Markdown, for a wiki or a merge request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from calibrate.evaluation.evaluate import Evaluation
from calibrate.evaluation.numbers import NAMES, Numbers
from calibrate.evaluation.verdicts import Confusion, Rate

HEADS = ("image AUROC", "image AP", "image F1", "pixel AUROC", "pixel AP", "pixel F1", "AUPRO")


def summary(evaluation: Evaluation, document: dict[str, Any]) -> str:
    """One table of the classes and their mean, the verdicts with a profile, and the notes."""
    data, model = document["data"], document["model"]
    lines = [
        f"# {plain(data['name'])}",
        "",
        f"{data['n_good']} normal and {data['n_defective']} anomalous images, {data['n_units']} units "
        f"(split {data['split']}). Model {model['backbone']}, adapter {model['adapter'][:12]}, {model['device']}, "
        f"{model['precision']}; {document['definition']} definition.",
        "",
        *table(
            ["class", *HEADS], [_cells(n, v) for n, v in evaluation.classes.items()] + [_cells("mean", evaluation.mean)]
        ),
    ]
    if evaluation.confusion is not None:
        lines += ["", *_verdicts(evaluation.confusion)]
    if evaluation.notes or evaluation.skipped:
        lines += ["", *(f"- {plain(text)}" for text in (*evaluation.notes, *evaluation.skipped))]
    return "\n".join(lines) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table, first column left, the others right."""
    rule = ["---", *("---:" for _ in head[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]


def number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4f}"


def _cells(name: str, numbers: Numbers) -> list[str]:
    return [plain(name), *(number(getattr(numbers, metric)) for metric in NAMES)]


def _verdicts(found: Confusion) -> list[str]:
    heads = list(found.units["good"])
    rows = [[f"{label} units", *(str(found.units[label][v]) for v in heads)] for label in ("good", "defective")]
    return [
        *table(["", *heads], rows),
        "",
        f"False alarms: {_rate(found.false_alarm_rate)}. Found: {_rate(found.recall)}.",
    ]


def _rate(rate: Rate) -> str:
    if rate.rate is None or rate.low is None or rate.high is None:
        return "n/a"
    return f"{rate.count} of {rate.total} units, {rate.rate:.1%} (95 % interval {rate.low:.1%} to {rate.high:.1%})"


def plain(text: str) -> str:
    """On one line, with what would end a table's cell or start markup taken apart."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
