"""A comparison as Markdown."""

from __future__ import annotations

from calibrate.evaluation.compare import CONFIDENCE, LETTERS, METRICS, RESAMPLES, Comparison, Difference
from calibrate.evaluation.numbers import NAMES
from calibrate.evaluation.summary import HEADS, number, plain, table

_WORDS = dict(zip(NAMES, HEADS, strict=True))


def comparison_text(found: Comparison) -> str:
    """The runs' means side by side, then each run against the first, class by class."""
    letters = LETTERS[: len(found.runs)]
    lines = [
        f"- {letter}: {plain(r.name)}, adapter {r.adapter[:12]}" for letter, r in zip(letters, found.runs, strict=True)
    ]
    rows = [[_WORDS[name], *(number(r.mean[name]) for r in found.runs)] for name in NAMES]
    lines += ["", *table(["mean", *letters], rows)]
    for against in found.against:
        heads = ["class", "metric", f"{against.letter} − A", f"{CONFIDENCE:.0%} interval", ""]
        scopes = [*against.classes.items(), ("mean", against.mean)]
        cells = [
            [plain(name), _WORDS[metric], *_cells(differences[metric])]
            for name, differences in scopes
            for metric in METRICS
        ]
        lines += ["", *table(heads, cells)]
    lines += ["", f"Paired bootstrap over units, {RESAMPLES:,} resamples.", *(f"- {note}" for note in found.notes)]
    return "\n".join(lines) + "\n"


def _cells(d: Difference) -> list[str]:
    if d.difference is None or d.low is None or d.high is None:
        return ["n/a", "n/a", d.sentence]
    return [f"{d.difference:+.4f}", f"{d.low:+.4f} to {d.high:+.4f}", d.sentence]
